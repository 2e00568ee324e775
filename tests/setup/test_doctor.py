"""The doctor finds faults, says what to do, and never breaks; its HTML holds no paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from dslab import doctor
from dslab.setup import needs


def test_every_fault_comes_with_advice():
    findings = doctor.diagnose()
    assert len(findings) == 10
    assert all(finding.advice for finding in findings if not finding.ok)


def test_no_paths_in_what_a_notebook_saves():
    shown = doctor.as_html(doctor.diagnose())
    assert shown.startswith("<table>")
    assert str(Path.home()) not in shown
    assert str(Path(doctor.__file__).parents[1]) not in shown


def test_a_missing_package_is_a_fault(monkeypatch):
    monkeypatch.setattr(needs, "installed", lambda name: None if name == "peft" else "99")
    found = doctor.packages()
    assert not found.ok
    assert "1 of" in found.found
    assert "peft>=0.20 (here: none)" in found.found


def test_missing_weights_are_a_fault(monkeypatch, tmp_path):
    monkeypatch.setenv("DSLAB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("DSLAB_MODEL_DIR", raising=False)
    monkeypatch.setattr("dslab.models.resolver._from_hub", lambda *_: (_ for _ in ()).throw(OSError("off")))
    found = doctor.weights()
    assert not found.ok
    assert "dslab fetch" in found.advice


def test_little_memory_is_a_fault(monkeypatch):
    monkeypatch.setattr(doctor, "_memory_bytes", lambda: 1.0e9)
    assert not doctor.memory().ok


def test_a_check_that_breaks_is_a_finding(monkeypatch):
    def disk() -> doctor.Finding:
        raise RuntimeError("odd machine")

    monkeypatch.setattr(doctor, "disk", disk)
    (broken,) = [finding for finding in doctor.diagnose() if not finding.ok and finding.name == "disk"]
    assert "odd machine" in broken.found


def test_text_and_exit_code(monkeypatch, capsys):
    good, bad = doctor.Finding("a", True, "1"), doctor.Finding("b", False, "0", "mend it")
    monkeypatch.setattr(doctor, "diagnose", lambda: [good, bad])
    assert doctor.main() == 1
    assert "-> mend it\n1 fault to mend." in capsys.readouterr().out
    monkeypatch.setattr(doctor, "diagnose", lambda: [good])
    assert doctor.main() == 0


@pytest.mark.parametrize(("ok", "advice", "state"), [(True, "", "ok"), (True, "know", "note"), (False, "do", "fault")])
def test_states(ok, advice, state):
    assert doctor.state(doctor.Finding("x", ok, "y", advice)) == state
