"""Decoding with everything between the attentions compiled: one C++ function a layer, kept on disk.

    llama = CompiledLlama(Llama.load("smollm2", weights="int8"))
    generate(llama, prompt_ids, 64)         # the first time ever it compiles, half a minute; later it starts at once

Only single tokens take the compiled way; prompts and batches are computed as before. The cache still does the
attention, so any cache will do, of any length.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dslab import paths
from dslab.inference import compiling
from dslab.inference.compiling import PARTS, Spec
from dslab.inference.llama import Llama


class CompiledLlama(Llama):
    """A Llama whose single tokens are compiled; used as a Llama is.

    wait     compile now if that was never done for these shapes on this machine; False: in the background, and single
             tokens are computed as before until it is ready.
    ready    whether single tokens take the compiled way now.
    why_not  a sentence where they never will: no C++ compiler, or what it said. Everything works, not faster.
    """

    def __init__(self, llama: Llama, wait: bool = True) -> None:
        self.__dict__.update(llama.__dict__)
        self.why_not: str | None = None
        self._run: dict[str, Any] = {}
        self._child: subprocess.Popen[bytes] | None = None
        spec = Spec.of(llama, torch.get_num_threads())
        try:
            self._folder = _folder(llama, spec)
        except ValueError as error:
            self.why_not = str(error)
            return
        if not self._open():
            self._start(wait, llama, spec)

    @property
    def ready(self) -> bool:
        if not self._run and self.why_not is None and self._child is not None and self._child.poll() is not None:
            self._finish()
        return bool(self._run)

    def _open(self) -> bool:
        """Load both functions, if they are on disk."""
        files = [self._folder / f"{part}.pt2" for part in PARTS]
        if not all(file.is_file() for file in files):
            return False
        try:
            loaded = {part: _load(file) for part, file in zip(PARTS, files, strict=True)}
        except (RuntimeError, OSError, ValueError):  # a damaged file: made again
            for file in files:
                file.unlink(missing_ok=True)
            return False
        with torch.no_grad():
            followers = [*self.layers[1:], self.layers[0]]  # after the last layer nobody looks at q, k and v
            self._rest = [compiling.between_arguments(a, b) for a, b in zip(self.layers, followers, strict=True)]
            self._head = compiling.head_arguments(self)
        self._run = loaded
        return True

    def _start(self, wait: bool, llama: Llama, spec: Spec) -> None:
        compiler = os.environ.get("CXX") or ("cl" if sys.platform == "win32" else "g++")
        if not (shutil.which(compiler) or shutil.which("clang++")):
            self.why_not = f"no C++ compiler was found ({compiler}), so single tokens are computed as before"
            return
        request = compiling.write_request(llama, spec, self._folder)
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(self._folder / "work")}
        command = [sys.executable, "-m", "dslab.inference.compiling", str(request)]
        self._child = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=(self._folder / "log.txt").open("wb")
        )
        if wait:
            self._child.wait()
            self._finish()

    def _finish(self) -> None:
        shutil.rmtree(self._folder / "work", ignore_errors=True)
        if not self._open():
            said = (self._folder / "log.txt").read_text("utf-8", errors="replace").strip().splitlines()
            self.why_not = f"compiling failed, so single tokens are computed as before: {said[-1] if said else '?'}"

    def body(self, ids: Tensor, cos: Tensor, sin: Tensor, attend: Any) -> Tensor:
        if ids.numel() != 1 or not self.ready:
            return super().body(ids, cos, sin, attend)
        h = F.embedding(ids.reshape(-1), self.embed).float()
        cos, sin = cos.view(1, 1, -1), sin.view(1, 1, -1)
        between = self._run["between"]
        q, k, v = self.project(self.layers[0], h, cos[0], sin[0], 1)
        for number, rest in enumerate(self._rest):
            o = attend(number, q, k, v)
            h, q, k, v = between([h, o.reshape(1, -1), cos, sin, *rest])
        return h.view(1, 1, -1)

    def scores(self, hidden: Tensor) -> Tensor:
        if hidden.shape[:2] != (1, 1) or not self.ready:
            return super().scores(hidden)
        return self._run["head"]([hidden.view(1, -1), *self._head])[0].view(1, 1, -1)


def _folder(llama: Llama, spec: Spec) -> Path:
    """Named by all that the machine code depends on. ValueError for weights that can't be compiled."""
    source = Path(compiling.__file__).read_bytes()
    known = [asdict(spec), llama.config.hidden, llama.config.vocab, [list(t.shape) for t in _sizes(llama)], _machine()]
    key = hashlib.sha256(source + json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
    return paths.cache_dir() / "compiled" / key


def _sizes(llama: Llama) -> list[Tensor]:
    layer = llama.layers[0]
    weights = (layer.qkv, layer.out, layer.gate_up, layer.down, llama.head)
    return [t for w in weights for t in compiling.tensors(w)]


def _machine() -> list[str]:
    flags = ""
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return [torch.__version__, sys.version, platform.machine(), torch.backends.cpu.get_cpu_capability(), flags]


def _load(file: Path) -> Any:
    return torch._inductor.aoti_load_package(str(file), run_single_threaded=True).loader.run
