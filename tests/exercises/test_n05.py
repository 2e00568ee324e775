"""Notebook 05's checkers against plausible wrong answers: each rejected with its own diagnosis, right ones accepted."""

from __future__ import annotations

import functools
import importlib
import math
import random

import numpy as np
import pytest
import torch
from exercise_harness import hold, hold_diagnosis, hold_parts, hold_quick_and_traceless, hold_sentences

from dslab.book import checks
from dslab.exercises import n05

NAMES = tuple(n05.__all__)
RIGHT: dict[str, dict] = {}
WRONG: dict[str, dict] = {}  # each with a diagnosis of its own
ALSO: dict[str, dict] = {}  # the same mistakes made another way


def source(name, constant):
    return getattr(importlib.import_module(f"dslab.exercises.n05.{name}"), constant)


def defined(name, code):
    space = {"torch": torch, "math": math}
    exec(code, space)
    return space[f"my_{name}"]


# ---------------------------------------------------------------- append


def append_by(write=None, positions=None, fits=lambda stop, most: stop <= most):
    """write(buffer, new, length, stop) into each buffer, positions(length, stop)."""

    def assign(buffer, new, length, stop):
        buffer[:, :, length:stop] = new

    write, positions = write or assign, positions or torch.arange

    def my_append(keys, values, k, v, length):
        stop = length + k.shape[2]
        if not fits(stop, keys.shape[2]):
            raise ValueError(f"{stop} of {keys.shape[2]}")
        write(keys, k, length, stop)
        write(values, v, length, stop)
        return positions(length, stop)

    return my_append


right_append = append_by()


def append_by_copy(keys, values, k, v, length):
    stop = length + k.shape[-2]
    if keys.shape[-2] < stop:
        raise ValueError("full")
    keys[..., length:stop, :].copy_(k)
    values[..., length:stop, :].copy_(v)
    return list(range(length, stop))


def append_by_index(keys, values, k, v, length):
    places = torch.arange(length, length + k.size(2))
    if int(places[-1]) >= keys.size(2):
        raise ValueError("full")
    keys.index_copy_(2, places, k)
    values.index_copy_(2, places, v)
    return places


def append_by_loop(keys, values, k, v, length):
    if length + k.shape[2] > keys.shape[2]:
        raise ValueError("full")
    for i in range(k.shape[2]):
        keys[:, :, length + i] = k[:, :, i]
        values[:, :, length + i] = v[:, :, i]
    return range(length, length + k.shape[2])


def append_by_cat(keys, values, k, v, length):
    keys = torch.cat([keys[:, :, :length], k], dim=2)
    values = torch.cat([values[:, :, :length], v], dim=2)
    return keys, values, torch.arange(length, length + k.shape[2])


def append_to_clone(keys, values, k, v, length):
    keys, values = keys.clone(), values.clone()
    return right_append(keys, values, k, v, length)


def exchanged(keys, values, k, v, length):
    return right_append(values, keys, k, v, length)


def append_only(which):
    def my_append(keys, values, k, v, length):
        buffers = [keys, values]
        buffers[which][:, :, length : length + k.shape[2]] = (k, v)[which]
        return torch.arange(length, length + k.shape[2])

    return my_append


def write_at(place):
    def write(buffer, new, length, stop):
        start = place(length, new.shape[2], buffer.shape[2])
        buffer[:, :, start : start + new.shape[2]] = new

    return write


def write_row(buffer, new, length, stop):
    buffer[0, :, length:stop] = new[0]


def write_first_of_all(buffer, new, length, stop):
    buffer[:, :, length:stop] = new[0]


def write_head(buffer, new, length, stop):
    buffer[:, 0, length:stop] = new[:, 0]


def write_one(which):
    def write(buffer, new, length, stop):
        buffer[:, :, length] = new[:, :, which]

    return write


def write_backwards(buffer, new, length, stop):
    buffer[:, :, length:stop] = new.flip(2)


def write_added(buffer, new, length, stop):
    buffer[:, :, length:stop] += new


def write_cleared(buffer, new, length, stop):
    buffer[:, :, length:stop] = new
    buffer[:, :, stop:] = 0


def write_emptied(buffer, new, length, stop):
    buffer.zero_()
    buffer[:, :, length:stop] = new


def write_shifted(buffer, new, length, stop):
    buffer.copy_(torch.cat([buffer, new], dim=2)[:, :, new.shape[2] :])


def write_twice(buffer, new, length, stop):
    buffer[:, :, length:stop] = 2 * new


def write_and_spill(buffer, new, length, stop):
    buffer[:, :, length - 1 : stop] = new[:, :, :1]


def append_ring(keys, values, k, v, length):
    for i in range(k.shape[2]):
        keys[:, :, (length + i) % keys.shape[2]] = k[:, :, i]
        values[:, :, (length + i) % keys.shape[2]] = v[:, :, i]
    return torch.arange(length, length + k.shape[2])


def append_half(keys, values, k, v, length):
    most = keys.shape[2]
    for i in range(k.shape[2]):
        if length + i >= most:
            raise ValueError("full")
        keys[:, :, length + i] = k[:, :, i]
        values[:, :, length + i] = v[:, :, i]
    return torch.arange(length, length + k.shape[2])


def append_values_half(keys, values, k, v, length):
    if length < keys.shape[2]:
        values[:, :, length] = v[:, :, 0]
    return right_append(keys, values, k, v, length)


def append_scaling(keys, values, k, v, length):
    k *= 2
    return right_append(keys, values, k, v, length)


def append_asserting(keys, values, k, v, length):
    assert length + k.shape[2] <= keys.shape[2]
    return right_append(keys, values, k, v, length)


def returning(form):
    return lambda *case: form(right_append(*case), *case)


RIGHT["append"] = {
    "slices": right_append,
    "copy_": append_by_copy,
    "index_copy_": append_by_index,
    "loop": append_by_loop,
    "numpy": returning(lambda positions, *case: positions.numpy()),
}
WRONG["append"] = {
    "cat": (append_by_cat, "You return new tensors"),
    "clone": (append_to_clone, "Nothing is written"),
    "exchanged": (exchanged, "Keys and values are exchanged"),
    "k twice": (lambda keys, values, k, v, length: right_append(keys, values, k, k, length), "both buffers get the same"
                .capitalize()),
    "only keys": (append_only(0), "The values are forgotten"),
    "only values": (append_only(1), "The keys are forgotten"),
    "start": (append_by(write_at(lambda length, new, most: 0)), "at the start of the buffer"),
    "last overwritten": (append_by(write_at(lambda length, new, most: length - 1)), "over the last token"),
    "gap": (append_by(write_at(lambda length, new, most: length + 1)), "leave a gap"),
    "end": (append_by(write_at(lambda length, new, most: most - new)), "at the end of the buffer"),
    "row 0": (append_by(write_row), "other rows of the batch"),
    "head 0": (append_by(write_head), "other heads are forgotten"),
    "first token": (append_by(write_one(0)), "the first of the new tokens only"),
    "last token": (append_by(write_one(-1)), "only, the last"),
    "backwards": (append_by(write_backwards), "in the wrong order"),
    "added": (append_by(write_added), "add to what lies in the buffer"),
    "cleared": (append_by(write_cleared), "the rest of the buffer to zero"),
    "emptied": (append_by(write_emptied), "wipe out the tokens"),
    "shifted": (append_by(write_shifted), "shift the buffer to make room"),
    "doubled": (append_by(write_twice), "`keys` does not hold at [0, 0, 5]"),
    "spilled": (append_by(write_and_spill), "you change places [4, 5] of `keys`, and it should be place 5"),
    "returns buffers": (returning(lambda positions, keys, values, *rest: (keys, values)), "Return the positions alone"),
    "returns None": (returning(lambda *rest: None), "for T = 1 it returned None"),
    "one number": (returning(lambda positions, *case: case[-1]), "You return one number"),
    "rows": (returning(lambda positions, keys, *rest: positions.expand(len(keys), -1)), "one dimension, T ints"),
    "floats": (returning(lambda positions, *rest: positions.float()), "Positions are ints"),
    "restart": (append_by(positions=lambda length, stop: range(stop - length)), "begin at 0 again"),
    "one early": (append_by(positions=lambda length, stop: range(length - 1, stop - 1)), "one too small"),
    "one late": (append_by(positions=lambda length, stop: range(length + 1, stop + 1)), "one too large"),
    "all": (append_by(positions=lambda length, stop: range(stop)), "positions of all tokens"),
    "free": (returning(lambda positions, keys, *rest: range(rest[-1], keys.shape[2])), "all free places"),
    "repeated": (append_by(positions=lambda length, stop: [length] * (stop - length)), "the same position"),
    "from behind": (append_by(positions=lambda length, stop: range(stop - 1, length - 1, -1)), "you return [6, 5, 4]"),
    "too strict": (append_by(fits=lambda stop, most: stop < most), "fit exactly, and you raise ValueError: 6 of 6"),
    "raises": (append_by(fits=lambda stop, most: False), "There is room"),
    "unguarded": (append_by(fits=lambda stop, most: True), "a token is lost without a word"),
    "ring": (append_ring, "over tokens that are still needed"),
    "half": (append_half, "raise ValueError, but `keys` changed before"),
    "assert": (append_asserting, "you raise AssertionError"),
    "k in place": (append_scaling, "its argument `k`"),
}  # fmt: skip
ALSO["append"] = {
    "cat, returns keys": (lambda keys, values, k, v, n: torch.cat([keys[:, :, :n], k], 2), "You return new tensors"),
    "v twice": (lambda keys, values, k, v, length: right_append(keys, values, v, v, length), "get the same"),
    "row 0 for all": (append_by(write_first_of_all), "other rows of the batch"),
    "one for all": (append_by(lambda b, new, n, stop: b[:, :, n:stop].copy_(new[:, :, -1:].expand_as(new))),
                    "only, the last"),
    "head 0 for all": (append_by(lambda b, new, n, stop: b[:, :, n:stop].copy_(new[:, :1].expand_as(new))),
                       "other heads"),
    "others emptied": (append_by(lambda b, new, n, stop: (b[:, :, n:stop].copy_(new), b[:, :, :n].zero_())),
                       "wipe out the tokens"),
    "last position for all": (append_by(positions=lambda n, stop: [stop - 1] * (stop - n)), "the same position"),
    "one early, clamped": (append_by(positions=lambda n, stop: [max(0, i - 1) for i in range(n, stop)]), "too small"),
    "one number, tensor": (returning(lambda positions, *case: positions[0]), "You return one number"),
    "float list": (returning(lambda positions, *rest: [float(i) for i in positions]), "Positions are ints"),
    "column": (returning(lambda positions, *rest: positions[:, None]), "one dimension"),
    "start and early": (append_by(write_at(lambda *_: 0), lambda n, stop: range(stop)), "at the start of the buffer"),
    "values half": (append_values_half, "but `values` changed before"),
    "RuntimeError": (
        append_by(lambda b, new, n, stop: b.index_copy_(2, torch.arange(n, stop), new), fits=lambda stop, most: True),
        "Make it a ValueError",
    ),
    "resized": (append_by(lambda b, new, n, stop: b.resize_(1, 2, 3, 4)), "you change a float32 tensor"),
}  # fmt: skip


# ---------------------------------------------------------------- blocks


def blocks_by(slot=lambda table, size, p: table[p // size] * size + p % size, need=lambda n, size: -(-n // size)):
    def my_blocks(table, size, positions, n):
        if any(p < 0 for p in positions):
            raise IndexError(positions)
        return [slot(table, size, p) for p in positions], need(n, size)

    return my_blocks


right_blocks = blocks_by()


def blocks_in_torch(table, size, positions, n):
    pages, places = torch.tensor(positions, dtype=torch.long), torch.tensor(positions, dtype=torch.long) % size
    pages = pages.div(size, rounding_mode="floor")
    if len(positions) and (int(pages.min()) < 0 or int(pages.max()) >= len(table)):
        raise ValueError("outside")
    return torch.tensor(table)[pages] * size + places, math.ceil(n / size)


def blocks_by_divmod(table, size, positions, n):
    slots = []
    for position in positions:
        page, place = divmod(position, size)
        if not 0 <= page < len(table):
            raise ValueError(f"{position} has no block")
        slots.append(table[page] * size + place)
    needed, rest = divmod(n, size)
    return tuple(slots), needed + bool(rest)


def blocks_laid_out(table, size, positions, n):
    row = [block * size + place for block in table for place in range(size)]
    if min(positions, default=0) < 0:
        raise ValueError("negative")
    return [row[p] for p in positions], len(range(0, n, size))


def blocks_unguarded(table, size, positions, n):
    return [table[p // size] * size + p % size for p in positions], -(-n // size)


def blocks_growing(table, size, positions, n):
    while len(table) * size < n:
        table.append(max(table) + 1)
    return right_blocks(table, size, positions, n)


def blocks_sorting(table, size, positions, n):
    positions.sort()
    return right_blocks(table, size, positions, n)


def blocks_lenient(table, size, positions, n):
    grown = [*table, *range(99)]
    return right_blocks(grown, size, positions, n)


def slots_only(change):
    """A change to the list of slots."""
    return lambda *case: (change(right_blocks(*case)[0], *case), right_blocks(*case)[1])


def need_only(need):
    """Another number of blocks, from all arguments."""
    return lambda *case: (right_blocks(*case)[0], need(*case))


RIGHT["blocks"] = {
    "comprehension": right_blocks,
    "torch": blocks_in_torch,
    "divmod": blocks_by_divmod,
    "laid out": blocks_laid_out,
}
WRONG["blocks"] = {
    "logical": (blocks_by(lambda table, size, p: p), "the table is not used"),
    "number": (blocks_by(lambda table, size, p: table[p // size]), "You return the number of the block"),
    "begin": (blocks_by(lambda table, size, p: table[p // size] * size), "You return where the block begins"),
    "offset": (blocks_by(lambda table, size, p: p % size), "You return the place within the block"),
    "no modulo": (blocks_by(lambda table, size, p: table[p // size] * size + p), "You add the whole position"),
    "no size": (blocks_by(lambda table, size, p: table[p // size] + p % size), "place to the number of the block"),
    "swapped": (blocks_by(lambda table, size, p: table[p % size] * size + p // size), "// and % are exchanged"),
    "first block": (blocks_by(lambda table, size, p: table[0] * size + p % size), "the first block up for all"),
    "last block": (blocks_by(lambda table, size, p: table[-1] * size + p % size), "the last block up for all"),
    "next block": (blocks_by(lambda table, size, p: table[p // size + 1] * size + p % size), "one block too far"),
    "one late": (blocks_by(lambda table, size, p: table[p // size] * size + p % size + 1), "slots are one too large"),
    "one early": (blocks_by(lambda table, size, p: table[p // size] * size + p % size - 1), "slots are one too small"),
    "counted": (
        lambda table, size, positions, n: right_blocks(table, size, list(range(len(positions))), n),
        "where a position stands in the list",
    ),
    "sorted": (slots_only(lambda slots, *case: sorted(slots)), "not in the order"),
    "fixed size": (blocks_by(lambda table, size, p: table[p // size] * 16 + p % size), "blocks of 16 tokens"),
    "once each": (slots_only(lambda slots, *case: list(dict.fromkeys(slots))), "there are 5 positions"),
    "doubled": (slots_only(lambda slots, *case: [2 * slot for slot in slots]), "your slots are [56, 62, 16, 42]"),
    "floor": (blocks_by(need=lambda n, size: n // size), "and you round down"),
    "always one more": (blocks_by(need=lambda n, size: n // size + 1), "one block too many"),
    "rounded": (blocks_by(need=lambda n, size: round(n / size)), "round to the nearest"),
    "tokens": (blocks_by(need=lambda n, size: -(-n // size) * size), "You return tokens"),
    "held": (need_only(lambda table, *rest: len(table)), "count the blocks in the table"),
    "missing": (need_only(lambda table, size, p, n: max(0, -(-n // size) - len(table))), "blocks that are missing"),
    "of positions": (need_only(lambda table, size, p, n: max(p, default=-1) // size + 1), "count by the positions"),
    "at least one": (blocks_by(need=lambda n, size: max(1, -(-n // size))), "No token, no block"),
    "squared": (blocks_by(need=lambda n, size: math.ceil(n / size) ** 2), "you return 9, and it should be 3"),
    "float": (blocks_by(need=lambda n, size: np.ceil(n / size)), "Blocks are counted: an int"),
    "order": (lambda *case: right_blocks(*case)[::-1], "the other way round"),
    "slots alone": (lambda *case: right_blocks(*case)[0], "should return (slots, needed)"),
    "grows": (blocks_growing, "You change `table`"),
    "sorts": (blocks_sorting, "You change `positions`"),
    "unguarded": (blocks_unguarded, "in Python table[-1] is the last block"),
    "lenient": (blocks_lenient, "position 12 has no block yet"),
    "refuses": (lambda table, size, positions, n: right_blocks(table, size, [-1], n), "have a block"),
    "KeyError": (
        lambda table, size, positions, n: right_blocks(dict(enumerate(table)), size, positions, n),
        "Make it a ValueError or an IndexError",
    ),
}
ALSO["blocks"] = {
    "floor, unguarded": (lambda t, size, positions, n: (blocks_unguarded(t, size, positions, n)[0], n // size),
                         "and you round down"),
    "ceil + 1": (blocks_by(need=lambda n, size: -(-n // size) + 1), "one block too many"),
    "no size, no modulo": (blocks_by(lambda table, size, p: table[p // size] + p), "place to the number of the block"),
    "next block, clamped": (
        blocks_by(lambda table, size, p: table[min(p // size + 1, len(table) - 1)] * size + p % size),
        "one block too far",
    ),
    "16": (blocks_by(lambda table, size, p: table[p // 16] * 16 + p % 16), "blocks of 16 tokens"),
    "positions sorted": (lambda t, size, positions, n: right_blocks(t, size, sorted(positions), n), "not in the order"),
    "reversed": (slots_only(lambda slots, *case: slots[::-1]), "not in the order"),
    "distinct pages": (need_only(lambda t, size, p, n: len({x // size for x in p})), "count by the positions"),
    "count of positions": (need_only(lambda t, size, p, n: -(-len(p) // size)), "count by the positions"),
    "n": (need_only(lambda t, size, p, n: n), "You return tokens"),
    "missing, negative": (need_only(lambda t, size, p, n: -(-n // size) - len(t)), "blocks that are missing"),
    "assert": (
        lambda t, size, p, n: blocks_laid_out(t, size, p, n) if all(0 <= x < len(t) * size for x in p) else 1 / 0,
        "you raise ZeroDivisionError",
    ),
    "a block's pair": (slots_only(lambda slots, t, size, p, n: [(t[x // size], x % size) for x in p]), "should return"),
}  # fmt: skip


# ---------------------------------------------------------------- evict


def evict_by(kept=None, distances=lambda kept, n, window, sinks: [len(kept) - 1 - i for i in range(len(kept))]):
    def stay(n, window, sinks):
        tokens = list(range(n))
        return tokens if n <= window else tokens[:sinks] + tokens[n - window + sinks :]

    kept = kept or stay

    def my_evict(n, window, sinks):
        tokens = kept(n, window, sinks)
        return tokens, distances(tokens, n, window, sinks)

    return my_evict


right_evict = evict_by()


def groups(first, newest, n):
    return [p for p in range(n) if p < first or p >= n - newest]


def stays(first, newest):
    """kept, where n no longer fits: the first and the newest, as functions of window and sinks."""
    return lambda n, w, s: list(range(n)) if n <= w else groups(first(w, s), newest(w, s), n)


def evict_step_by_step(n, window, sinks):
    kept = []
    for position in range(n):
        if len(kept) == window:
            kept.pop(sinks)
        kept.append(position)
    return kept, list(reversed(range(len(kept))))


def ring(n, window, sinks):
    slots = [None] * min(n, window)
    for position in range(n):
        place = position if position < window else sinks + (position - sinks) % (window - sinks)
        slots[place] = position
    return slots


RIGHT["evict"] = {
    "slices": right_evict,
    "groups": evict_by(lambda n, w, s: groups(s, w - s, n)),
    "step by step": evict_step_by_step,
    "torch": evict_by(
        lambda n, w, s: torch.tensor(groups(s, w - s, n)), lambda kept, *rest: torch.arange(len(kept)).flip(0)
    ),
}
WRONG["evict"] = {
    "no sinks": (evict_by(lambda n, w, s: list(range(max(0, n - w), n))), "The sinks are evicted"),
    "on top": (evict_by(lambda n, w, s: groups(s, w, n)), "a whole window besides the sinks"),
    "twice": (evict_by(lambda n, w, s: [*range(s), *range(max(0, n - w + s), n)]), "keep some tokens twice"),
    "oldest": (evict_by(lambda n, w, s: list(range(min(n, w)))), "You keep the oldest tokens"),
    "only sinks": (evict_by(stays(lambda w, s: s, lambda w, s: 1)), "evict all the others at once"),
    "everything": (evict_by(lambda n, w, s: list(range(n))), "Nothing is ever evicted"),
    "evicted": (evict_by(lambda n, w, s: list(range(s, n - w + s))), "You return what is evicted"),
    "early": (evict_by(stays(lambda w, s: s, lambda w, s: w - s - 1)), "You keep one too few"),
    "late": (evict_by(stays(lambda w, s: s, lambda w, s: w - s + 1)), "You keep one too many"),
    "newest missing": (evict_by(lambda n, w, s: groups(s, w - s, n)[:-1]), "The newest token is missing"),
    "too soon": (evict_by(lambda n, w, s: groups(s if n > w else 0, w - s, n)), "You evict too soon"),
    "slice": (evict_by(lambda n, w, s: list(range(n)) if not s else groups(s, w - s, n)), "With sinks = 0"),
    "one sink": (evict_by(lambda n, w, s: groups(min(1, w - 1), w - min(1, w - 1), n)), "You keep one sink"),
    "ring": (evict_by(ring), "a ring buffer would hold them"),
    "backwards": (evict_by(lambda n, w, s: groups(s, w - s, n)[::-1]), "should be ascending"),
    "half": (evict_by(lambda n, w, s: groups(s, w // 2, n)), "you keep [0, 1, 9, 10, 11], and it should be"),
    "absolute": (evict_by(distances=lambda kept, n, *rest: [n - 1 - p for p in kept]), "the sinks drift further away"),
    "clamped": (evict_by(distances=lambda kept, n, w, s: [min(n - 1 - p, w - 1) for p in kept]), "at the same place"),
    "from the next": (evict_by(distances=lambda kept, *_: list(range(len(kept), 0, -1))), "that comes next"),
    "places": (evict_by(distances=lambda kept, *rest: list(range(len(kept)))), "counted from the front"),
    "positions": (evict_by(distances=lambda kept, *rest: list(kept)), "You return positions as distances"),
    "negative": (evict_by(distances=lambda kept, *_: [i - len(kept) + 1 for i in range(len(kept))]), "are negative"),
    "sinks at 0": (evict_by(distances=lambda kept, n, w, s: [p if p < s else n - 1 - p for p in kept]), "one another"),
    "window": (evict_by(distances=lambda kept, n, w, s: [w - 1 - i for i in range(len(kept))]), "full or not"),
    "squares": (evict_by(distances=lambda kept, *_: [i * i for i in range(len(kept))][::-1]), "are [25, 16, 9, 4, 1"),
    "order": (lambda *case: right_evict(*case)[::-1], "kept comes first"),
    "lengths": (evict_by(distances=lambda kept, *rest: list(range(len(kept) - 1))), "you return 6 and 5"),
    "kept alone": (lambda *case: right_evict(*case)[0], "it returned [0, 1, 8, 9, 10, 11]"),
    "floats": (evict_by(distances=lambda kept, *rest: [float(i) for i in range(len(kept))][::-1]), "are floats"),
}
ALSO["evict"] = {
    "fewer, no sinks": (evict_by(lambda n, w, s: groups(0, w - s, n)), "The sinks are evicted"),
    "on top, once full": (evict_by(stays(lambda w, s: s, lambda w, s: w)), "a whole window besides"),
    "twice, by slices": (
        evict_by(lambda n, w, s: list(range(n))[:s] + list(range(n))[-(w - s) :]),
        "keep some tokens twice",
    ),
    "sinks for good": (evict_by(stays(lambda w, s: s, lambda w, s: 0)), "all the others at once"),
    "early, all along": (evict_by(lambda n, w, s: groups(s, w - s - 1, n)), "You keep one too few"),
    "late, all along": (evict_by(lambda n, w, s: groups(s, w - s + 1, n)), "You keep one too many"),
    "a sink more": (evict_by(lambda n, w, s: groups(s + 1, w - s, n)), "You keep one too many"),
    "before the newest": (evict_by(lambda n, w, s: groups(s, w - s, n - 1)), "The newest token is missing"),
    "absolute, from the next": (evict_by(distances=lambda kept, n, *_: [n - p for p in kept]), "drift further away"),
    "absolute, negative": (evict_by(distances=lambda kept, n, *_: [p - n + 1 for p in kept]), "are negative"),
    "clamped at window": (evict_by(distances=lambda kept, n, w, s: [min(n - 1 - p, w) for p in kept]), "same place"),
    "float positions": (lambda *case: (torch.tensor(right_evict(*case)[0]) * 1.0, [0]), "are floats"),
    "long": (evict_by(lambda n, w, s: list(range(1000))), "you keep [0, 1, 2"),
}  # fmt: skip


# ---------------------------------------------------------------- accept


def accept_by(stays=lambda p, q, x, u: u < p[x] / q[x], rest=None, bonus=lambda p, q: p[-1], kept=None):
    """stays(row, row, token, number), rest(p, q, i, token) and bonus(p, q); kept(tokens, i) after a rejection."""
    rest = rest or (lambda p, q, i, x: normal((p[i] - q[i]).clamp(min=0)))
    kept = kept or (lambda tokens, i: tokens[:i])

    def my_accept(p, q, tokens, uniform):
        for i, x in enumerate(tokens):
            if not stays(p[i], q[i], x, uniform[i]):
                return kept(tokens, i), rest(p, q, i, x)
        return list(tokens), bonus(p, q)

    return my_accept


def normal(values):
    return values / values.sum()


right_accept = accept_by()


def accept_vectorised(p, q, tokens, uniform):
    K = len(tokens)
    rows, ids = torch.arange(K), torch.tensor(tokens, dtype=torch.long)
    stays = torch.tensor(uniform, dtype=p.dtype) < p[rows, ids] / q[rows, ids]
    n = int(stays.long().cumprod(0).sum())
    padded = torch.cat([q, torch.zeros(1, q.shape[1])])
    return ids[:n], normal(torch.relu(p[n] - padded[n]))


def accept_in_numpy(p, q, tokens, uniform):
    p, q = p.numpy(), q.numpy()
    for i, (x, u) in enumerate(zip(tokens, uniform, strict=True)):
        if u * q[i, x] >= p[i, x]:
            left = np.maximum(p[i] - q[i], 0)
            return tokens[:i], left / left.sum()
    return tokens, p[-1]


def accept_going_on(p, q, tokens, uniform):
    kept = [x for i, x in enumerate(tokens) if uniform[i] < p[i, x] / q[i, x]]
    return kept, right_accept(p, q, tokens, uniform)[1]


def accept_popping(p, q, tokens, uniform):
    result = right_accept(p, q, tokens, uniform)
    tokens.append(0)
    return result


def accept_clamping(p, q, tokens, uniform):
    q.mul_(0.5)
    return right_accept(p, 2 * q, tokens, uniform)


def without_drafts_crashing(p, q, tokens, uniform):
    K = len(tokens)
    torch.stack([q[i] for i in range(K)])
    return right_accept(p, q, tokens, uniform)


def without_token(p, q, i, x):
    left = p[i].clone()
    left[x] = 0
    return normal(left)


def shifted_p(p, q, tokens, uniform):
    stays = [uniform[i] < p[i + 1, x] / q[i, x] for i, x in enumerate(tokens)]
    n = stays.index(False) if False in stays else len(tokens)
    return tokens[:n], p[-1]


RIGHT["accept"] = {
    "loop": right_accept,
    "vectorised": accept_vectorised,
    "numpy": accept_in_numpy,
    "min 1": accept_by(lambda p, q, x, u: u < min(1.0, float(p[x] / q[x]))),
    "product": accept_by(lambda p, q, x, u: u * q[x] < p[x]),
}
WRONG["accept"] = {
    "p > q": (accept_by(lambda p, q, x, u: p[x] > q[x]), "never look at the random number"),
    "upside down": (accept_by(lambda p, q, x, u: u < q[x] / p[x]), "Your ratio is upside down"),
    "only p": (accept_by(lambda p, q, x, u: u < p[x]), "You compare with p alone"),
    "only q": (accept_by(lambda p, q, x, u: u < q[x]), "You compare with q."),
    "inverted": (accept_by(lambda p, q, x, u: u > p[x] / q[x]), "keep the drafts that should go"),
    "goes on": (accept_going_on, "You go on after a rejection"),
    "with rejected": (accept_by(kept=lambda tokens, i: tokens[: i + 1]), "keep the rejected draft"),
    "greedy": (accept_by(lambda p, q, x, u: p.argmax() == x), "likeliest token of p"),
    "everything": (accept_by(lambda p, q, x, u: True), "accept every draft"),
    "nothing": (lambda p, q, tokens, uniform: ([], p[0]), "accept no draft at all"),
    "one number": (
        lambda p, q, tokens, uniform: right_accept(p, q, tokens, uniform[:1] * len(tokens)),
        "the first random number for all",
    ),
    "shifted p": (shifted_p, "You look up p one row too far"),
    "highest": (accept_by(lambda p, q, x, u: u < p.max() / q.max()), "the largest entries of p and q"),
    "<=": (accept_by(lambda p, q, x, u: u <= p[x] / q[x]), "is <, not <="),
    "one short": (accept_by(kept=lambda tokens, i: tokens[: max(0, i - 1)]), "you accept [], and it should be [0]"),
    "from p": (accept_by(rest=lambda p, q, i, x: p[i]), "you draw from p."),
    "removed": (accept_by(rest=without_token), "you take p without the rejected token"),
    "unnormalised": (accept_by(rest=lambda p, q, i, x: (p[i] - q[i]).clamp(min=0)), "does not sum to 1"),
    "no clamp": (accept_by(rest=lambda p, q, i, x: p[i] - q[i]), "clamp p - q at 0"),
    "absolute": (accept_by(rest=lambda p, q, i, x: normal((p[i] - q[i]).abs())), "the absolute value of p - q"),
    "reversed": (accept_by(rest=lambda p, q, i, x: normal((q[i] - p[i]).clamp(min=0))), "the wrong way round"),
    "softmax": (accept_by(rest=lambda p, q, i, x: (p[i] - q[i]).clamp(min=0).softmax(0)), "You apply a softmax"),
    "from q": (accept_by(rest=lambda p, q, i, x: q[i]), "You draw from the draft's"),
    "row 0": (accept_by(rest=lambda p, q, i, x: normal((p[0] - q[0]).clamp(min=0))), "the rows of another place"),
    "bonus from the last draft": (accept_by(bonus=lambda p, q: p[max(0, len(q) - 1)]), "the row of the last draft"),
    "bonus reduced": (
        accept_by(bonus=lambda p, q: normal((p[-1] - q[-1]).clamp(min=0)) if len(q) else p[0]),
        "nothing was rejected, so nothing",
    ),
    "always the last": (accept_by(rest=lambda p, q, i, x: p[-1]), "the last row of p even where"),
    "cut": (accept_by(rest=lambda p, q, i, x: p[i][:2]), "your `rest` has shape (2,)"),
    "NaN": (accept_by(rest=lambda p, q, i, x: p[i] * math.nan), "holds NaN or infinity"),
    "squared": (accept_by(rest=lambda p, q, i, x: normal(p[i] ** 2)), "With 1 of 3 drafts accepted you give"),
    "no bonus": (accept_by(bonus=lambda p, q: None), "2 of which stay, you return None"),
    "drawn": (accept_by(bonus=lambda p, q: int(p[-1].argmax())), "Drawing comes later"),
    "count": (lambda *case: (len(right_accept(*case)[0]), right_accept(*case)[1]), "how many drafts stay, 2"),
    "accepted alone": (lambda *case: right_accept(*case)[0], "should return (accepted, rest)"),
    "pops": (accept_popping, "You change `tokens`"),
    "q in place": (accept_clamping, "its argument `q`"),
    "no drafts": (without_drafts_crashing, "accepted is [] and rest is p[0]. You raise RuntimeError"),
}
ALSO["accept"] = {
    "p >= q": (accept_by(lambda p, q, x, u: p[x] >= q[x]), "never look at the random number"),
    "p > q, goes on": (
        lambda p, q, tokens, uniform: ([x for i, x in enumerate(tokens) if p[i, x] > q[i, x]], p[-1]),
        "never look at the random number",
    ),
    "only p, from p": (accept_by(lambda p, q, x, u: u < p[x], rest=lambda p, q, i, x: p[i]), "compare with p alone"),
    "no clamp, normalised": (accept_by(rest=lambda p, q, i, x: normal(p[i] - q[i])), "clamp p - q at 0"),
    "softmax of the difference": (accept_by(rest=lambda p, q, i, x: (p[i] - q[i]).softmax(0)), "You apply a softmax"),
    "next row of p": (accept_by(rest=lambda p, q, i, x: p[i + 1]), "the rows of another place"),
    "last row of both": (
        accept_by(rest=lambda p, q, i, x: normal((p[len(q) - 1] - q[-1]).clamp(min=0))),
        "the rows of another place",
    ),
    "difference, next row": (
        accept_by(rest=lambda p, q, i, x: normal((p[i + 1] - q[i]).clamp(min=0))),
        "the rows of another place",
    ),
    "bonus reduced by the last draft's": (
        accept_by(bonus=lambda p, q: normal((p[-2] - q[-1]).clamp(min=0)) if len(q) else p[0]),
        "nothing was rejected, so nothing",
    ),
    "bonus uniform": (accept_by(bonus=lambda p, q: torch.full_like(p[0], 1 / p.shape[1])), "With 2 of 2 drafts"),
    "uniform sorted": (
        lambda p, q, tokens, uniform: (uniform.sort(), right_accept(p, q, tokens, uniform))[1],
        "You change `uniform`",
    ),
    "integers": (accept_by(bonus=lambda p, q: p[-1].long()), "should return (accepted, rest)"),
    "two dimensions": (accept_by(bonus=lambda p, q: p[-1:]), "should return (accepted, rest)"),
    "zero from p": (
        lambda p, q, tokens, uniform: right_accept(p, q, tokens, uniform) if p.min() > 0 else ([], p[0]),
        "you draw from p.",
    ),
}


# ---------------------------------------------------------------- bill


def dim_of(c):
    return c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]


def kv_heads_of(c):
    return c.get("num_key_value_heads") or c["num_attention_heads"]


def latent_of(c):
    return c["kv_lora_rank"] + c["qk_rope_head_dim"]


def bill_by(kinds=2, heads=kv_heads_of, dim=dim_of, latent=latent_of, mla=lambda c: c.get("kv_lora_rank") is not None,
            layers=lambda c: c["num_hidden_layers"], size=lambda bits: bits / 8):  # fmt: skip
    return lambda c, bits: layers(c) * (latent(c) if mla(c) else kinds * heads(c) * dim(c)) * size(bits)


right_bill = bill_by()


def bill_in_integers(config, bits):
    numbers = 0
    for _ in range(config["num_hidden_layers"]):
        if config.get("kv_lora_rank"):
            numbers += config["kv_lora_rank"] + config["qk_rope_head_dim"]
            continue
        for _ in range(config.get("num_key_value_heads") or config["num_attention_heads"]):
            numbers += 2 * dim_of(config)
    return numbers * bits // 8


def bill_popping(config, bits):
    result = right_bill(config, bits)
    config.pop("hidden_size")
    return result


RIGHT["bill"] = {
    "product": right_bill,
    "integers": bill_in_integers,
    "tensor": lambda c, bits: torch.tensor(right_bill(c, bits)),
    "numpy": lambda c, bits: np.float32(right_bill(c, bits)),
}
WRONG["bill"] = {
    "no MLA": (bill_by(mla=lambda c: False), "You reckon MLA like any other"),
    "None is MLA": (
        bill_by(mla=lambda c: "kv_lora_rank" in c, latent=lambda c: sum((c[k] or 0) for k in c if k in
                ("kv_lora_rank", "qk_rope_head_dim"))),
        "an entry that is None is as good as missing",
    ),
    "q_lora_rank tells": (bill_by(mla=lambda c: c.get("q_lora_rank")), "You know MLA by its q_lora_rank"),
    "query heads": (bill_by(heads=lambda c: c["num_attention_heads"]), "You count the heads of the queries"),
    "one head": (bill_by(heads=lambda c: 1), "That is MQA"),
    "groups": (bill_by(heads=lambda c: c["num_attention_heads"] / kv_heads_of(c)), "share a KV head"),
    "one where missing": (bill_by(heads=lambda c: c.get("num_key_value_heads") or 1), "Then every head has its own"),
    "no factor 2": (bill_by(kinds=1), "The factor 2 is missing"),
    "2 for MLA": (bill_by(latent=lambda c: 2 * latent_of(c)), "You count MLA twice"),
    "no layers": (bill_by(layers=lambda c: 1), "You count one layer"),
    "no rope": (bill_by(latent=lambda c: c["kv_lora_rank"]), "the key for RoPE is forgotten"),
    "rope a head": (
        bill_by(latent=lambda c: c["kv_lora_rank"] + c["num_attention_heads"] * c["qk_rope_head_dim"]),
        "the key for RoPE once per head",
    ),
    "only rope": (bill_by(latent=lambda c: c["qk_rope_head_dim"]), "the key for RoPE alone"),
    "rope twice": (bill_by(latent=lambda c: latent_of(c) + c["qk_rope_head_dim"]), "the key for RoPE twice"),
    "latent a head": (bill_by(latent=lambda c: latent_of(c) * c["num_attention_heads"]), "a latent vector per head"),
    "q_lora_rank": (bill_by(latent=lambda c: (c["q_lora_rank"] or 0) + latent_of(c)), "You take q_lora_rank"),
    "expanded": (
        bill_by(latent=lambda c: c["num_attention_heads"]
                * (c["qk_nope_head_dim"] + c["qk_rope_head_dim"] + c["v_head_dim"])),
        "MLA keeps what they are made of",
    ),
    "head_dim ignored": (bill_by(dim=lambda c: c["hidden_size"] // c["num_attention_heads"]), "always divide"),
    "by KV heads": (bill_by(dim=lambda c: c["hidden_size"] // kv_heads_of(c)), "divide hidden_size by the KV heads"),
    "hidden": (bill_by(dim=lambda c: c["hidden_size"]), "hidden_size for every head"),
    "bits": (bill_by(size=lambda bits: bits), "You return bits"),
    "numbers": (bill_by(size=lambda bits: 1), "how many numbers are kept"),
    "two bytes": (bill_by(size=lambda bits: 2), "two bytes a number"),
    "four bytes": (bill_by(size=lambda bits: 4), "four bytes a number"),
    "whole bytes": (bill_by(size=lambda bits: bits // 8), "divide bits by eight and round"),
    "KiB": (bill_by(size=lambda bits: bits / 8 / 1024), "kilobytes or the like"),
    "tripled": (bill_by(size=lambda bits: 3 * bits / 8), "should be 23,040: too much by a factor of 3."),
    "a third": (bill_by(size=lambda bits: bits / 24), "should be 23,040: too little by a factor of 3."),
    "head_dim expected": (bill_by(dim=lambda c: c["head_dim"]), "has no entry `head_dim`, and that is allowed"),
    "None not met": (
        bill_by(heads=lambda c: c.get("num_key_value_heads", c["num_attention_heads"])),
        "the entries num_key_value_heads and head_dim are None",
    ),
    "text": (lambda c, bits: f"{right_bill(c, bits)} B", "it returned '23040.0 B'"),
    "pops": (bill_popping, "You change `config`"),
}  # fmt: skip
ALSO["bill"] = {
    "no MLA, no 2": (bill_by(kinds=1, mla=lambda c: False), "like any other"),
    "query heads, no layers": (
        bill_by(heads=lambda c: c["num_attention_heads"], layers=lambda c: 1),
        "You count the heads of the queries",
    ),
    "2 for the latent alone": (bill_by(latent=lambda c: latent_of(c) + c["kv_lora_rank"]), "You count MLA twice"),
    "2 for the latent, no rope": (bill_by(latent=lambda c: 2 * c["kv_lora_rank"]), "You count MLA twice"),
    "2 * v_head_dim": (
        bill_by(latent=lambda c: 2 * c["num_attention_heads"] * c["v_head_dim"]),
        "MLA keeps what they are made of",
    ),
    "q_lora_rank for kv": (
        bill_by(latent=lambda c: (c.get("q_lora_rank") or 0) + c["qk_rope_head_dim"]),
        "You take q_lora_rank",
    ),
    "GQA wrong, then KeyError": (bill_by(kinds=1, heads=lambda c: c["num_key_value_heads"]), "factor 2 is missing"),
    "kv_lora_rank expected": (bill_by(mla=lambda c: c["kv_lora_rank"]), "has no entry `kv_lora_rank`"),
    "None is MLA, crash": (bill_by(mla=lambda c: "kv_lora_rank" in c), "are None, as in many"),
    "ceil": (bill_by(size=lambda bits: math.ceil(bits / 8)), "and round"),
    "kB": (bill_by(size=lambda bits: bits / 8000), "kilobytes or the like"),
    "zero": (lambda c, bits: 0, "too little by 23,040"),
    "bool": (lambda c, bits: True, "should return a number"),
}


# ---------------------------------------------------------------- all of them


@functools.cache
def judged(name, answer):
    return checks.judge(getattr(n05, name), answer)


@pytest.mark.parametrize("name", NAMES)
def test_exercise_holds(name):
    hold(getattr(n05, name), WRONG[name], RIGHT[name], names={"torch": torch})


@pytest.mark.parametrize(("name", "answer", "says"), [
    pytest.param(name, answer, says, id=f"{name}-{label}")
    for name in NAMES for label, (answer, says) in {**WRONG[name], **ALSO[name]}.items()
])  # fmt: skip
def test_wrong_answer_is_diagnosed_twice_the_same(name, answer, says):
    hold_diagnosis(getattr(n05, name), answer, says)


@pytest.mark.parametrize("name", NAMES)
def test_stub_is_to_do_and_parts_are_whole(name):
    exercise = getattr(n05, name)
    hold_parts(exercise, name, "05", defined(name, source(name, "STUB")), defined(name, exercise.solution))


@pytest.mark.parametrize("name", NAMES)
def test_every_diagnosis_is_heard_by_some_wrong_answer(name):
    answers = {**WRONG[name], **ALSO[name]}.values()
    hold_sentences(source(name, "SAYS"), [judged(name, answer)[1] for answer, _ in answers])


@pytest.mark.parametrize(("name", "table"), [
    ("append_mistakes", "WRITES"), ("append_mistakes", "PLACES"), ("blocks_mistakes", "SLOTS"),
    ("blocks_mistakes", "NEEDS"), ("evict", "KEPT"), ("evict", "DISTANCES"), ("accept_mistakes", "ACCEPTS"),
    ("accept_mistakes", "RESTS"), ("bill_way", "FAULTS"),
])  # fmt: skip
def test_every_mistake_has_its_sentence(name, table):
    says = source(name.split("_")[0], "SAYS")
    assert {mistake[0] for mistake in source(name, table)} <= set(says)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    [0, -1, 1.5, math.nan, math.inf, 10**400, b"x", "x", "", [], [[True]], [None], ["x"], {}, {"x"}, object(),
     (None, None), ([1], ["2"]), ([16], 6), ([], []), ([[1]], [[1]]), ("a", "b"), torch.tensor([]), torch.zeros(2),
     torch.tensor(math.nan), np.array(["a"]), np.array([None]), np.array([16, 6]), torch.full((3, 3), math.nan),
     (np.array([1, 2]), 3), torch.empty(2, device="meta"), torch.eye(3).to_sparse(), torch.ones(5, 4), iter([]), int,
     ([0], torch.tensor(1.0)), ([], torch.full((3,), math.nan)), ([0, 2], torch.empty(3, device="meta")), 1j,
     ([torch.empty((), device="meta")], 3), (torch.tensor([0, 2]), torch.tensor([]))],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_any_return_value_is_diagnosed_not_raised(name, value):
    diagnosis = getattr(n05, name).check(lambda *arguments: value)
    assert isinstance(diagnosis, str)
    assert len(diagnosis) < 900


@pytest.mark.parametrize("name", NAMES)
def test_checking_leaves_random_state_and_is_quick(name):
    exercise = getattr(n05, name)
    state = random.getstate()
    hold_quick_and_traceless(exercise, defined(name, exercise.solution))
    assert random.getstate() == state


def test_a_fault_of_the_learners_own_is_told_with_its_line():
    def by_dict(keys, values, k, v, length):
        keys.write(k, length)

    for name, answer in (("append", by_dict), ("bill", lambda config, bits: config["layers"] * bits)):
        state, said = checks.judge(getattr(n05, name), answer)
        assert state == "wrong"
        assert "of your code" in said


# ---------------------------------------------------------------- what they teach is so


def test_written_cache_attends_as_if_all_had_come_at_once():
    """`append`, token by token and in chunks: the same keys and positions as one prompt."""
    my_append = defined("append", n05.append.solution)
    k, v = torch.randn(2, 2, 3, 9, 4).unbind(0)
    for chunks in ([9], [1] * 9, [4, 1, 3, 1]):
        keys, values, length, positions = torch.full((2, 3, 12, 4), math.nan), torch.zeros(2, 3, 12, 4), 0, []
        for chunk in chunks:
            part = slice(length, length + chunk)
            positions += my_append(keys, values, k[:, :, part], v[:, :, part], length).tolist()
            length += chunk
        assert torch.equal(keys[:, :, :9], k)
        assert torch.equal(values[:, :, :9], v)
        assert positions == list(range(9))


def test_acceptance_is_lossless():
    """Drawn from q, kept or replaced by the exercise's rule: the tokens are distributed as p."""
    my_accept = defined("accept", n05.accept.solution)
    p, q = torch.tensor([[0.5, 0.2, 0.3], [1 / 3] * 3]), torch.tensor([[0.1, 0.6, 0.3]])
    exact = torch.zeros(3, dtype=torch.float64)
    for x in range(3):
        for u in (torch.arange(400) / 400 + 1 / 800).tolist():
            kept, rest = my_accept(p, q, [x], [u])
            exact += float(q[0, x]) / 400 * (torch.eye(3)[kept[0]].double() if kept else rest.double())
    assert torch.allclose(exact, p[0].double(), atol=5e-3)


def test_sinks_stay_within_the_window_for_ever():
    my_evict = defined("evict", n05.evict.solution)
    for n in range(1, 60):
        kept, distances = my_evict(n, 8, 3)
        assert len(kept) == min(n, 8)
        assert max(distances) < 8
        assert kept[:3] == list(range(min(n, 3)))
        assert kept[-1] == n - 1


def test_bills_of_named_models_are_the_published_ones():
    """SmolLM2 23,040; Llama-2-7B 524,288; DeepSeek-67B 389,120; V2 69,120, at 6 bits 93.3 % less than the 67B."""
    bills = {(title.split(",")[0], bits): source("bill", "definition")(config, bits)
             for title, config, bits in source("bill_models", "CASES")}  # fmt: skip
    assert bills["SmolLM2-135M", 16] == 23_040
    assert bills["Llama-2-7B", 16] == 524_288
    assert bills["Falcon-7B", 16] == 8_192
    assert bills["DeepSeek-V2", 16] == 69_120
    assert bills["DeepSeek-V3", 8] == 70_272 / 2
    assert 1 - bills["DeepSeek-V2", 16] / bills["DeepSeek-67B", 16] == pytest.approx(0.822, abs=1e-3)
    assert 1 - bills["DeepSeek-V2", 6] / bills["DeepSeek-67B", 16] == pytest.approx(0.9334, abs=1e-4)
