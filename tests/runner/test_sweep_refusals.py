"""What `dslab sweep` refuses before any process starts, and how it says so; and what it only shows."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from dslab import cli, signals
from dslab.runner import study as studies

from . import toys

Started = Callable[[], list[str]]
Capture = pytest.CaptureFixture[str]
SWEEP = ("sweep", "toy.ipynb", "--out", "out")
RESUME = ("sweep", "--resume", "begun")
STUDY = 'notebook = "toy.ipynb"\n'

REFUSED = [
    (("sweep",), ["name a notebook", "study.toml", "--resume DIR"]),
    (("sweep", "absent.ipynb"), ["no notebook 'absent.ipynb'"]),
    (("sweep", "."), ["a sweep runs one notebook; '.' means 2"]),
    ((*SWEEP, "-p", "windw=1,2"), ["unknown parameter 'windw'", "did you mean 'window'?", "valid parameters: seed"]),
    ((*SWEEP, "-p", "window=1,2.5"), ["toy: window must be an int in [1..64]; got '2.5'"]),
    ((*SWEEP, "-p", "window=60..65"), ["window must be an int in [1..64]; got 65"]),
    ((*SWEEP, "-p", "window=4..1"), ["'4..1' is empty", "low..high"]),
    ((*SWEEP, "-p", "device=cpu,CPU"), ["device must be a str from", "did you mean 'cpu'?"]),
    ((*SWEEP, "-p", "window=1,2", "-p", "window=4"), ["window is given twice"]),
    ((*SWEEP, "-p", "window"), ["-p takes name=value"]),
    ((*SWEEP, "-p", "seed=1,2", "--seeds", "3"), ["seed is given twice"]),
    ((*SWEEP, "--seeds", "1002"), ["seed must be an int in [0..1000]; got 1001"]),
    ((*SWEEP, "--seeds", "0"), ["--seeds"]),
    ((*SWEEP, "-p", "window=1,2", "-p", "rate=0.1,0.2,0.3", "--zip"), ["equal lengths", "window has 2, rate has 3"]),
    ((*SWEEP, "-p", "rate=0.1:0.2:lin"), ["range to draw from: add --random N"]),
    ((*SWEEP, "-p", "window=1,2", "--random", "3"), ["more points than the 2"]),
    ((*SWEEP, "-p", "window=1,2", "--random", "2", "--zip"), ["exclude each other"]),
    (
        (*SWEEP, "-p", "window=1..30", "-p", "rate=0.1:1:lin20"),
        ["600 points (30 window × 20 rate)", "--max-points 500"],
    ),
    ((*SWEEP, "-p", "window=1..4", "--max-points", "3"), ["4 points", "more than --max-points 3"]),
    ((*SWEEP, "--profile", "smok"), ["did you mean 'smoke'?"]),
    ((*SWEEP, "--timeout", "0"), ["timeout must be a number of seconds above 0"]),
    ((*SWEEP, "--workers", "0"), ["--workers"]),
    ((*SWEEP, "--workers", "2", "--cluster", "tcp://127.0.0.1:1"), ["no say at tcp://127.0.0.1:1", "leave it away"]),
    ((*SWEEP, "--retry-failed"), ["--retry-failed goes with --resume"]),
    (("sweep", "toy.ipynb", "--out", "full"), ["full is not empty"]),
    (("sweep", "toy.ipynb", "--out", "full/mine"), ["is a file"]),
    (("sweep", "toy.ipynb", "--out", "begun"), ["holds a sweep already", "dslab sweep --resume begun"]),
    (("sweep", "bare.ipynb", "--seeds", "2"), ["bare: unknown parameter 'seed'"]),
    (("sweep", "absent.toml"), ["absent.toml cannot be read"]),
    (("sweep", "typo.toml"), ["typo.toml: unknown key 'seed'", "did you mean 'seeds'?"]),
    (("sweep", "stray.toml"), ["unknown key 'window'", "belong under [parameters]"]),
    (("sweep", "twice.toml"), ["twice.toml cannot be read"]),
    (("sweep", "range.toml"), ["range.toml: window must be an int in [1..64]; got 65"]),
    (("sweep", "good.toml", "-p", "window=3"), ["good.toml says what is run; put -p there"]),
    (("sweep", "good.toml", "--seeds", "3"), ["put --seeds there"]),
    (("sweep", "--resume", "full"), ["no sweep there", "study.toml"]),
    (("sweep", "--resume", "nowhere"), ["no sweep there"]),
    ((*RESUME, "-p", "window=1,2"), ["goes on with the study recorded there; leave -p away"]),
    ((*RESUME, "--out", "out"), ["leave --out away"]),
    ((*RESUME, "toy.ipynb", "-p", "window=1,2,3"), ["window: 1, 2 in the folder, 1, 2, 3 given", "--resume begun"]),
    ((*RESUME, "toy.ipynb", "-p", "window=1,2", "--seeds", "2"), ["seeds: none in the folder, 0, 1 given"]),
    ((*RESUME, "toy.ipynb", "-p", "window=1,2", "--timeout", "5"), ["timeout: 600.0 in the folder, 5.0 given"]),
    ((*RESUME, "good.toml"), ["window: 1, 2 in the folder, 1, 4 given"]),
    (("sweep", "--resume", "edited"), ["study.toml was changed since it began: 1 of 1 finished points"]),
    (("sweep", "--resume", "other", "toy.ipynb", "-p", "window=1,2"), ["the notebook was changed since: cell trace"]),
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Notebooks that leave a file behind as soon as a kernel runs them, studies, and sweeps that were begun."""
    here = tmp_path_factory.mktemp("shelf")
    trace = toys.code("open('ran', 'w')", "trace")
    toy = toys.write(here / "toy.ipynb", trace)
    toys.write(here / "bare.ipynb", trace, parameters=None)
    for name, text in {
        "good": "[parameters]\nwindow = [1, 4]\n", "typo": "seed = 3\n", "stray": "window = 3\n",
        "twice": "[parameters]\nwindow = 1\nwindow = 2\n", "range": "[parameters]\nwindow = [1, 65]\n",
    }.items():  # fmt: skip
        (here / f"{name}.toml").write_text(STUDY + text)
    (here / "full").mkdir()
    (here / "full" / "mine").write_text("mine")
    study = studies.Study("toy", {"window": [1, 2]}, {})
    for name in ("begun", "edited", "other"):
        (here / name).mkdir()
        (here / name / "study.toml").write_text(study.toml())
        (here / name / "toy.ipynb").write_text(toy.read_text())
    toys.write(here / "other" / "toy.ipynb", toys.code("open('before', 'w')", "trace"))
    point = here / "edited" / "points" / "0001-aaaaaaaaaaaa"
    point.mkdir(parents=True)
    row = {"point": "aaaaaaaaaaaa", "index": 1, "status": "passed", "seconds": 1.0}
    (point / "row.json").write_text(json.dumps(row))
    return here


def listing(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


DRIVEN = (
    "windw=1,2", "window=1,2.5", "window=60..65", "window=4..1", "--zip", "rate=0.1:1:lin20", "--seeds 3", "typo.toml",
    "begun good.toml",
)  # fmt: skip
AS_USER = [case for words in DRIVEN for case in REFUSED if words in " ".join(case[0])]


@pytest.mark.parametrize(("arguments", "said"), AS_USER, ids=lambda value: " ".join(value[-3:]))
def test_refused_before_anything_starts(
    shelf: Path, started: Started, arguments: tuple[str, ...], said: list[str]
) -> None:
    before = listing(shelf)
    done = toys.dslab(*arguments, cwd=shelf, **started.environment)  # type: ignore[attr-defined]
    assert done.code == 2, done.out + done.err
    for words in said:
        assert words in done.err, done.err
    assert "Traceback" not in done.err
    assert len(started()) == 1  # this command, and no worker, no kernel
    assert listing(shelf) == before


@pytest.mark.parametrize(("arguments", "said"), REFUSED, ids=lambda value: " ".join(value[-3:]))
def test_each_refusal_says_why_and_starts_nothing(
    shelf: Path, arguments: tuple[str, ...], said: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The same in this process, which is forbidden to start another: all of them in a second."""
    monkeypatch.chdir(shelf)
    for change in ("listen", "deaf"):  # a command's signals are not the tests'
        monkeypatch.setattr(signals, change, lambda: None)
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda *_, **__: pytest.fail("a process was started"))
    before = listing(shelf)
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    err = capsys.readouterr().err
    assert ended.value.code == 2, err
    assert [words for words in said if words not in err] == [], err
    assert listing(shelf) == before


@pytest.mark.parametrize("arguments", [(*SWEEP, "-p", "window=1,2"), RESUME])
def test_two_sweeps_in_one_folder_are_refused(shelf: Path, started: Started, arguments: tuple[str, ...]) -> None:
    folder = shelf / ("out" if "--out" in arguments else "begun")
    folder.mkdir(exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    with lock:
        done = toys.dslab(*arguments, cwd=shelf, **started.environment)  # type: ignore[attr-defined]
    (folder / ".lock").unlink(missing_ok=True)
    if folder.name == "out":
        folder.rmdir()
    assert done.code == 2, done.out + done.err
    assert f"another sweep is at work in {folder.name}" in done.err
    assert len(started()) == 1


def test_dry_run_shows_the_grid_and_the_time_and_writes_nothing(shelf: Path, started: Started) -> None:
    timed = toys.write(shelf.parent / "timed" / "timed.ipynb", *toys.GOOD, parameters=toys.PARAMETERS +
                       'section: str = "all"  # the part that runs {all,train}\n')  # fmt: skip
    notebook = json.loads(timed.read_text())
    bundle = {"application/vnd.dslab.footer+json": {"seconds": 30.0, "peak_bytes": 1_500_000_000}}
    notebook["cells"][-1]["outputs"] = [{"output_type": "display_data", "data": bundle, "metadata": {}}]
    timed.write_text(json.dumps(notebook))
    before = listing(shelf) + listing(timed.parent)
    command = ("sweep", timed, "-p", "window=1,2,2", "-p", "rate=1e-4:1e-2:log3", "--seeds", "2", "--dry-run")
    done = toys.dslab(*command, "--workers", "2", cwd=shelf, **started.environment)  # type: ignore[attr-defined]
    assert done.code == 0, done.err
    assert "timed: 12 points (every combination, each with 2 seeds)" in done.out
    assert "  12  window=2 rate=0.01 seed=1" in done.out
    assert "window: 2 given more than once, run once" in done.out
    assert "about 3 min 0 s for 12 points, 2 at a time (30.0 s each: its saved run" in done.out
    assert "about 3.00 GB" in done.out
    assert "upper bound" not in done.out
    part = toys.dslab(*command, "-p", "section=train", cwd=shelf)
    assert "about 6 min 0 s for 12 points" in part.out
    assert "an upper bound" in part.out
    assert len(started()) == 1
    assert listing(shelf) + listing(timed.parent) == before


def test_dry_run_of_a_resumed_sweep_goes_by_its_finished_points(shelf: Path) -> None:
    study = studies.Study("toy", {"window": [1, 2, 4]}, {})
    begun = shelf.parent / "half"
    first = study.points()[0]
    row = {"point": first.id, "index": 1, "status": "failed", "seconds": 20.0}
    (begun / "points" / first.folder).mkdir(parents=True)
    (begun / "points" / first.folder / "row.json").write_text(json.dumps(row))
    (begun / "study.toml").write_text(study.toml())
    (begun / "toy.ipynb").write_text((shelf / "toy.ipynb").read_text())
    done = toys.dslab("sweep", "--resume", begun, "--dry-run", cwd=shelf)
    assert "about 40.0 s for 2 points, 1 at a time (20.0 s each: the mean of 1 finished)" in done.out, done.out
    assert "window=1  (done)" in done.out
    again = toys.dslab("sweep", "--resume", begun, "--retry-failed", "--dry-run", cwd=shelf)
    assert "for 3 points" in again.out
