"""Exercise `blocks`: the right slots and blocks, and those that come of the usual mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Slots = Callable[[list[int], int, list[int], int], Sequence[int] | None]
Need = Callable[[list[int], int, list[int], int], int]


def definition(table: list[int], size: int, positions: list[int], n: int) -> tuple[list[int], int]:
    """By laying out the sequence's slots one after the other, and by giving out blocks until n tokens have a place."""
    row = [block * size + place for block in table for place in range(size)]
    needed = 0
    while needed * size < n:
        needed += 1
    return [row[position] for position in positions], needed


def _by(slot: Callable[[list[int], int, int], int]) -> Slots:
    """slot(table, size, position); None where the mistake looks beyond the table."""

    def slots(table: list[int], size: int, positions: list[int], n: int) -> list[int] | None:
        try:
            return [slot(table, size, position) for position in positions]
        except IndexError:
            return None

    return slots


def _counted(table: list[int], size: int, positions: list[int], n: int) -> list[int]:
    return definition(table, size, list(range(len(positions))), n)[0]


SLOTS: tuple[tuple[str, Slots], ...] = (
    ("logical", _by(lambda table, size, p: p)),
    ("number", _by(lambda table, size, p: table[p // size])),
    ("begin", _by(lambda table, size, p: table[p // size] * size)),
    ("offset", _by(lambda table, size, p: p % size)),
    ("no_modulo", _by(lambda table, size, p: table[p // size] * size + p)),
    ("no_size", _by(lambda table, size, p: table[p // size] + p % size)),
    ("no_size", _by(lambda table, size, p: table[p // size] + p)),
    ("swapped", _by(lambda table, size, p: table[p % size] * size + p // size)),
    ("swapped", _by(lambda table, size, p: table[p % len(table)] * size + p // size)),
    ("first_block", _by(lambda table, size, p: table[0] * size + p % size)),
    ("last_block", _by(lambda table, size, p: table[-1] * size + p % size)),
    ("next_block", _by(lambda table, size, p: table[(p // size + 1) % len(table)] * size + p % size)),
    ("next_block", _by(lambda table, size, p: table[min(p // size + 1, len(table) - 1)] * size + p % size)),
    ("one_late", _by(lambda table, size, p: table[p // size] * size + p % size + 1)),
    ("one_early", _by(lambda table, size, p: table[p // size] * size + p % size - 1)),
    ("counted", _counted),
    ("sorted", lambda table, size, positions, n: sorted(definition(table, size, positions, n)[0])),
    ("sorted", lambda table, size, positions, n: definition(table, size, sorted(positions), n)[0]),
    ("fixed_size", _by(lambda table, size, p: table[p // 16] * 16 + p % 16)),
    ("fixed_size", _by(lambda table, size, p: table[p // size] * 16 + p % size)),
)

NEEDS: tuple[tuple[str, Need], ...] = (
    ("floor", lambda table, size, positions, n: n // size),
    ("one_more", lambda table, size, positions, n: n // size + 1),
    ("one_more", lambda table, size, positions, n: -(-n // size) + 1),
    ("rounded", lambda table, size, positions, n: round(n / size)),
    ("tokens", lambda table, size, positions, n: -(-n // size) * size),
    ("tokens", lambda table, size, positions, n: n),
    ("held", lambda table, size, positions, n: len(table)),
    ("missing", lambda table, size, positions, n: max(0, -(-n // size) - len(table))),
    ("missing", lambda table, size, positions, n: -(-n // size) - len(table)),
    ("of_positions", lambda table, size, positions, n: len({p // size for p in positions})),
    ("of_positions", lambda table, size, positions, n: max((p // size + 1 for p in positions), default=0)),
    ("of_positions", lambda table, size, positions, n: -(-len(positions) // size)),
    ("at_least_one", lambda table, size, positions, n: max(1, -(-n // size))),
)
