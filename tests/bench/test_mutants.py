"""The planted faults are what they claim to be, and the tests of the loss scaler kill all of them."""

import ast
from pathlib import Path

import pytest

from dslab.bench import mutants
from dslab.bench.report import Row
from dslab.bench.scaler_faults import FAULTS, Fault
from dslab.paths import PACKAGE

NAMES = [fault.name for fault in FAULTS]


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
def test_a_fault_is_one_change_that_still_compiles(fault: Fault, tmp_path: Path) -> None:
    source = (PACKAGE / "precision" / fault.file).read_text(encoding="utf-8")
    copy = tmp_path / fault.file
    copy.write_text(source, encoding="utf-8")
    mutants.plant(fault, copy)
    changed = copy.read_text(encoding="utf-8")
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source)), "a change of spelling is no fault"
    assert fault.meaning.endswith(".")


def test_there_are_enough_and_each_has_its_own_name() -> None:
    assert len(FAULTS) >= 24
    assert len(set(NAMES)) == len(FAULTS)


def test_a_text_that_is_not_there_once_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "scaler.py"
    file.write_text("a = 1\na = 1\n", encoding="utf-8")
    for original, times in (("a = 1", 2), ("b = 1", 0)):
        with pytest.raises(ValueError, match=f"occurs {times} times in scaler.py, not once"):
            mutants.plant(Fault("f", "m.", original, "c = 1"), file)
    assert file.read_text(encoding="utf-8") == "a = 1\na = 1\n"


def table(*verdicts: mutants.Verdict) -> mutants.Mutants:
    rows = [Row("planted faults killed by the tests", 1.0, ">=", float(len(verdicts)))]
    return mutants.Mutants("mutants", rows, {"whole": 3.0}, {"date": "2026-01-01"}, list(verdicts))


KILLED = mutants.Verdict("NaN not seen", "All is NaN.", "test_scaler.py::test_a_step[NaN only-ours]", True)
FUZZ_ONLY = mutants.Verdict("odd", "Odd.", None, True)
SURVIVED = mutants.Verdict("unseen", "Nobody knows.", None, False)


def test_the_table_survives_saving_and_reads_well(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    made = table(KILLED, FUZZ_ONLY, SURVIVED)
    made.save(tmp_path)
    assert mutants.load(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == ["mutants.json"]
    assert [row["killed by"] for row in mutants.as_rows(made)] == [KILLED.killed_by, "the fuzz only", "SURVIVED"]
    mutants.show(made)
    said = capsys.readouterr().out
    assert "2 of 3 faults killed in 3 s" in said
    assert "[NaN" in said, "brackets are no markup"
    with pytest.raises(FileNotFoundError, match="dslab bench mutants --save"):
        mutants.load(tmp_path / "nowhere")


@pytest.mark.parametrize(("verdicts", "code"), [([KILLED, FUZZ_ONLY], 0), ([KILLED, SURVIVED], 1)])
def test_a_survivor_is_an_error(verdicts: list, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "measure", lambda *_, **__: table(*verdicts))
    assert mutants.main([]) == code


def test_tests_that_fail_without_any_fault_are_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def measure(*_, **__):
        raise mutants.ControlFailed("test_scaler.py::test_a_step")

    monkeypatch.setattr(mutants, "measure", measure)
    assert mutants.main([]) == 1
    assert "without any fault the tests do not pass" in capsys.readouterr().err


def test_without_a_checkout_it_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(mutants, "checkout", lambda: None)
    assert mutants.main([]) == 2
    assert "needs a checkout" in capsys.readouterr().err


def test_the_saved_table_has_every_fault_of_today_and_no_survivor() -> None:
    saved = mutants.load()
    assert [(v.fault, v.meaning) for v in saved.verdicts] == [(f.name, f.meaning) for f in FAULTS]
    assert [v.fault for v in saved.verdicts if not v.killed] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_are_killed() -> None:
    made = mutants.measure(FAULTS)
    assert [v.fault for v in made.verdicts if not v.killed] == []
