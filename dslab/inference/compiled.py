"""Decoding single tokens with compiled code: kernels.c, made once a machine.

    llama = CompiledLlama(Llama.load("smollm2", weights="int8"))
    generate(llama, prompt_ids, 64)         # the first time ever it compiles, in two seconds

Only single tokens take the compiled way; prompts and batches are computed as before. Over a ContiguousCache a token is
one call with all layers and their attention. Any other cache does the attention itself, between one call a layer.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import platform
import shlex
import shutil
import subprocess
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dslab import paths
from dslab.inference.cache import ContiguousCache
from dslab.inference.llama import Layer, Llama, Norm
from dslab.inference.weights import GROUP, BFloat16, Float32, Int4, Int8, Weight

SOURCE = Path(__file__).with_name("kernels.c")
HUGE, ALIGNED = 2 << 20, 64
# -ffast-math without its promise that there are no infinities and NaNs, and without flushing small numbers to zero
FLAGS = (
    "-O3 -march=native -fno-math-errno -fno-trapping-math -fno-signed-zeros -fassociative-math -shared -fPIC -Wno-psabi"
)


class CompiledLlama(Llama):
    """A Llama whose single tokens are compiled; used as a Llama is. Its matrices are held once more where the compiled
    function reads them in another order than torch (fp32, int4); those of bf16 and int8 move to where it reads them.

    why_not  a sentence where single tokens are computed as before: no C compiler, or what it said. Else None.
    """

    why_not: str | None

    def __init__(self, llama: Llama) -> None:
        self.__dict__.update(llama.__dict__)
        self._c: _Compiled | None = None
        try:
            library = _library(str(paths.cache_dir()))
            with torch.no_grad():
                self._c = _Compiled(llama, library)
            self.why_not = None
        except (CannotCompile, OSError) as error:
            self.why_not = f"single tokens are computed without compiled code: {error}"

    def body(self, ids: Tensor, cos: Tensor, sin: Tensor, attend: Any) -> Tensor:
        if ids.numel() != 1 or self._c is None:
            return super().body(ids, cos, sin, attend)
        h = self.embed[ids.reshape(-1)].float()
        cos, sin, cache = cos.contiguous(), sin.contiguous(), getattr(attend, "__self__", None)
        if type(cache) is ContiguousCache and (stores := cache.in_place(self.config.layers)):
            self._c.token(h, cos, sin, stores, len(cache))
            cache.written()
        else:
            self._c.layers(h, cos, sin, attend)
        return h.view(1, 1, -1)

    def scores(self, hidden: Tensor) -> Tensor:
        if hidden.shape[:2] != (1, 1) or self._c is None:
            return super().scores(hidden)
        return self._c.scores(hidden.contiguous())


class CannotCompile(RuntimeError):
    """Why there is no compiled code."""


class _Matrix(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("kind", "rows", "columns")] + [
        (name, ctypes.c_void_p) for name in ("data", "scale", "middle", "bias")
    ]


class _Norm(ctypes.Structure):
    _fields_ = [("gain", ctypes.c_void_p), ("eps", ctypes.c_float)]


class _Layer(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("hidden", "inner", "heads", "kv_heads", "head_dim")),
        *((name, _Norm) for name in ("attention_norm", "q_norm", "k_norm", "mlp_norm")),
        *((name, _Matrix) for name in ("qkv", "out", "gate_up", "down")),
    ]  # fmt: skip


class _Compiled:
    """The library, and a model's tensors as its functions take them."""

    def __init__(self, llama: Llama, library: Any) -> None:
        c = self._sizes = llama.config
        self._kept: list[Tensor] = []  # what the structures point to
        products = [w for a in llama.layers for w in (a.qkv, a.out, a.gate_up, a.down)] + [llama.head]
        self._room = _huge_pages(sum(weight.nbytes() + ALIGNED for weight in products))
        made = [self._layer(layer, llama) for layer in llama.layers]
        self._layers = (_Layer * len(made))(*made)
        self._stores = (ctypes.c_void_p * (2 * len(made)))()
        self._norm, self._head = self._of_norm(llama.norm), self._matrix(llama.head)
        self._scratch = torch.empty(2 * c.hidden + 3 * made[0].inner + 2 * (c.heads + c.kv_heads) * c.head_dim)
        self._between, self._token, self._scores = library.between, library.token, library.scores
        self._threads = torch.get_num_threads()

    def layers(self, h: Tensor, cos: Tensor, sin: Tensor, attend: Any) -> None:
        """h (1, hidden) before all of them -> after, in place."""
        c = self._sizes
        sizes, places = (c.heads, c.kv_heads, c.kv_heads), (1, c.heads + 2 * c.kv_heads, 1, c.head_dim)
        at, turns, scratch = h.data_ptr(), (cos.data_ptr(), sin.data_ptr()), self._scratch.data_ptr()
        pointers = [None, *(ctypes.byref(layer) for layer in self._layers), None]
        o = None
        for number, (done, following) in enumerate(pairwise(pointers)):
            qkv = torch.empty(places)  # a new one each time: caches may keep it
            attended = None if o is None else o.data_ptr()
            self._between(done, following, at, attended, *turns, qkv.data_ptr(), scratch, self._threads)
            if following is not None:
                o = attend(number, *torch.split_with_sizes(qkv, sizes, 1)).contiguous()

    def token(self, h: Tensor, cos: Tensor, sin: Tensor, stores: list[tuple[Tensor, Tensor]], place: int) -> None:
        """The same with attention over buffers (1, Hkv, room, D), into which keys and values are written."""
        self._stores[:] = [tensor.data_ptr() for store in stores for tensor in store]
        pointers = h.data_ptr(), cos.data_ptr(), sin.data_ptr(), self._scratch.data_ptr()
        room = stores[0][0].shape[2]
        self._token(self._layers, len(self._layers), self._stores, room, place, *pointers, self._threads)

    def scores(self, h: Tensor) -> Tensor:
        logits = torch.empty(1, 1, self._head.rows)
        pointers = h.data_ptr(), logits.data_ptr(), self._scratch.data_ptr()
        self._scores(ctypes.byref(self._norm), ctypes.byref(self._head), *pointers, self._threads)
        return logits

    def _layer(self, layer: Layer, llama: Llama) -> _Layer:
        c, none = llama.config, _Norm(None, 0)
        gate_up = self._matrix(layer.gate_up)
        return _Layer(
            c.hidden, gate_up.rows // 2, c.heads, c.kv_heads, c.head_dim,
            self._of_norm(layer.attention_norm), self._of_norm(layer.q_norm) if layer.q_norm else none,
            self._of_norm(layer.k_norm) if layer.k_norm else none, self._of_norm(layer.mlp_norm),
            self._matrix(layer.qkv), self._matrix(layer.out), gate_up, self._matrix(layer.down),
        )  # fmt: skip

    def _of_norm(self, norm: Norm) -> _Norm:
        return _Norm(self._at(norm.gain), norm.eps.square().item())

    def _matrix(self, weight: Weight) -> _Matrix:
        rows, columns = weight.shape
        if columns % 16 or self._sizes.head_dim % 16:
            raise CannotCompile(f"it reads 16 numbers at once, and a matrix or head has {columns} columns")
        scale = middle = None
        if isinstance(weight, Int8):
            data = weight.codes = self._moved(weight.codes)
            kind, scale = 2, weight.scales.float()
        elif isinstance(weight, Int4):
            kind = 3
            data, scale, middle = _nibbles(weight)
            data = self._moved(data)
        elif isinstance(weight, BFloat16):
            kind = 1
            data = weight.weight = self._moved(weight.weight)
        elif isinstance(weight, Float32):
            kind, data = 0, weight.weight
            data = data if data.is_contiguous() else self._moved(data)
        else:
            raise CannotCompile(f"weights of kind {type(weight).__name__} are not known to it")
        bias = None if weight.bias is None else weight.bias.float()
        return _Matrix(kind, rows, columns, *(self._at(tensor) for tensor in (data, scale, middle, bias)))

    def _moved(self, tensor: Tensor) -> Tensor:
        """A copy behind the last one in the room: what is read one after the other lies so."""
        _on_the_cpu(tensor)  # before a weight on another device would be replaced by its copy here
        part, self._room = self._room.tensor_split([tensor.nbytes])
        self._room = self._room[-tensor.nbytes % ALIGNED :]
        return part.view(tensor.dtype).view(tensor.shape).copy_(tensor)

    def _at(self, tensor: Tensor | None) -> int | None:
        if tensor is None:
            return None
        _on_the_cpu(tensor)
        self._kept.append(tensor.contiguous())
        return self._kept[-1].data_ptr()


def _on_the_cpu(tensor: Tensor) -> None:
    if tensor.device.type != "cpu":
        raise CannotCompile(f"it runs on the CPU, and the weights are on {tensor.device}")


def _huge_pages(nbytes: int) -> Tensor:
    """So many bytes, uint8; in pages of 2 MB where the system has them, which are up to a tenth faster to read."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(nbytes, dtype=torch.uint8)
    room = mmap.mmap(-1, nbytes + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them
        room.madvise(mmap.MADV_HUGEPAGE)
    whole = torch.frombuffer(room, dtype=torch.uint8)
    return whole[-whole.data_ptr() % HUGE :]


def _nibbles(weight: Int4) -> tuple[Tensor, Tensor, Tensor]:
    """(N, K / 32, 16) bytes, number j of a group below number j + 16; (N, K / 32) steps (fp32) and middles (bf16)."""
    step, middle = weight.grid.transpose(0, 1).contiguous().unbind(-1)
    offsets = weight.dense().unflatten(1, (-1, GROUP)) - middle[..., None].float()
    codes = (offsets / step[..., None].float() + 8).round().clamp(0, 15).to(torch.uint8)
    return codes[..., :16] | (codes[..., 16:] << 4), step.float(), middle


@lru_cache
def _library(cache: str) -> Any:
    """kernels.c as a loaded library, compiled for this CPU if that was not done before. CannotCompile says why not."""
    compiler = next((c for c in (os.environ.get("CC"), "cc", "gcc", "clang") if c and shutil.which(c)), None)
    key = hashlib.sha256(SOURCE.read_bytes() + FLAGS.encode() + _processor().encode()).hexdigest()[:16]
    file = Path(cache) / "compiled" / f"kernels-{key}.so"
    if not file.is_file():
        if compiler is None:
            raise CannotCompile("no C compiler was found (cc, gcc, clang, or the one that CC names)")
        _compile(compiler, file)
    library = ctypes.CDLL(str(file))
    pointers = [ctypes.c_void_p]
    library.between.argtypes, library.between.restype = [*pointers * 8, ctypes.c_int], None
    sizes = [ctypes.c_int64]
    library.token.argtypes = [*pointers, *sizes, *pointers, *sizes * 2, *pointers * 4, ctypes.c_int]
    library.token.restype = None
    library.scores.argtypes, library.scores.restype = [*pointers * 5, ctypes.c_int], None
    return library


def _compile(compiler: str, file: Path) -> None:
    """Without threads where the compiler has no OpenMP (Apple's)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f"{file.name}.{os.getpid()}")
    said = ""
    for threads in ("-fopenmp", "-Wno-unknown-pragmas"):
        command = [compiler, *shlex.split(FLAGS), threads, str(SOURCE), "-o", str(half), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode == 0:
            half.replace(file)
            return
        said = said or next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-200:])
    raise CannotCompile(f"{compiler} said {said!r}")


def _processor() -> str:
    """What -march=native depends on."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {platform.processor()} {flags}"
