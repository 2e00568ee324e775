"""The command as a user meets it: quick help, one line for each refusal, exit codes, no value in any word it says."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import corpora
import pytest

from dslab.clean import command, run
from dslab.clean.job import Job

MARKER = "13912345678"
HEAVY = ("torch", "transformers", "pyarrow", "numpy", "jinja2", "phonenumbers", "stdnum", "rich.progress")


@pytest.fixture
def call(capfd):
    """Run the command in this process: exit code, output, error stream; and that neither quotes the marker."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = 0
        try:
            command.main([str(one) for one in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        assert MARKER not in out + err
        assert "Traceback" not in out + err
        return code, out, err

    return run


def row(text: object) -> bytes:
    return json.dumps({"text": text}).encode() + b"\n"


def test_help_answers_at_once():
    probe = (
        "import resource, sys\nfrom dslab import cli\n"
        "try:\n    cli.main(['clean', '--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        "print(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))"
    )
    runs = [subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True) for _ in range(5)]
    done = min((run.stdout for run in runs), key=lambda text: float(text.split()[-1]))  # the rest is other work's time
    *said, heavy, seconds = done.splitlines()
    assert said[0].startswith("Usage: dslab clean [OPTIONS]")
    options = "text-column mask key-file types policy dedup decontaminate quality workers on-error audit resume dry-run"
    for option in [*options.split(), "decontaminate-min-words", "report"]:
        assert f"\n  --{option} " in done, option
    assert "\n  -o, --out OUT" in done
    assert heavy == "[]"
    assert float(seconds) < 0.5


def test_a_run_and_its_summary(tmp_path, call):
    corpora.corpus(tmp_path / "in", shards=2, n=20)
    code, out, err = call(tmp_path / "in", "-o", tmp_path / "out", "--workers", 1, "--dedup", 0.8, "--audit")
    assert code == 0
    for words in (
        "in ",
        "out ",
        "quarantined: malformed JSON",
        "dropped: near-duplicate",
        "EMAIL",
        "2 of 2 shards cleaned",
    ):
        assert words in out
    assert "checked: 62 rows in = " in out
    assert "cleaning: 2 of 2 shards, 62 rows, " in err
    assert "rows/s" in err
    assert "MB/s" in err
    code, out, err = call(tmp_path / "in", "-o", tmp_path / "out", "--dedup", 0.8, "--audit", "--resume")
    assert code == 0
    assert "2 of them by an earlier run and verified" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["in", "-o", "in"], "input and output at once"),
        (["in/*.txt", "-o", "out"], "no file matches"),
        (["nowhere", "-o", "out"], "no such file or folder"),
        (["in", "-o", "full"], "is not empty"),
        (["in", "-o", "out", "--mask", "blur"], "mask must be one of"),
        (["in", "-o", "out", "--mask", "hmac"], "needs a key"),
        (["in", "-o", "out", "--types", "EMAIL,NAME"], "NAME"),
        (["in", "-o", "out", "--policy", "strict"], "policy must be one of"),
        (["in", "-o", "out", "--on-error", "ignore"], "on_error must be one of"),
        (["in", "-o", "out", "--dedup", "80"], "Jaccard"),
        (["in", "-o", "out", "--decontaminate", "nowhere.jsonl"], "cannot read"),
        (["in", "-o", "out", "--report", "page.jsonl"], "must end in .html"),
        (["in", "-o", "out", "--workers", "0"], "--workers"),
        (["in", "-o", "out", "--key", "k"], "No such option"),
        (["in"], "Missing option"),
        ([], "Missing argument"),
    ],
)
def test_refusals_write_nothing_and_say_why(tmp_path, monkeypatch, call, arguments, words):
    monkeypatch.delenv("DSLAB_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    corpora.corpus(Path("in"), shards=1, n=3)
    Path("full").mkdir()
    Path("full", "mine").write_text("")
    before = corpora.tree(tmp_path)
    code, out, err = call(*arguments)
    assert code == 2
    assert words in err
    assert not out
    assert corpora.tree(tmp_path) == before


def test_a_dry_run_writes_nothing(tmp_path, call):
    corpora.corpus(tmp_path / "in", shards=12, n=2)
    (tmp_path / "in" / "readme.md").write_text("")
    before = sorted(tmp_path.rglob("*"))
    arguments = [tmp_path / "in", "-o", tmp_path / "out", "--dedup", 0.8, "--types", "EMAIL, IP"]
    code, out, _ = call(*arguments, "--quality", "--dry-run", "--report", tmp_path / "page.html")
    assert code == 0
    name = Path("part0", "0.jsonl")
    for words in (
        "12 shards", "and 2 more", "1 other file left alone", "mask: tag, EMAIL, IP, recall", "similarity of 0.8",
        "quality", f"{tmp_path / 'in' / name} -> {tmp_path / 'out' / name}", "nothing was written",
    ):  # fmt: skip
        assert words in out
    assert sorted(tmp_path.rglob("*")) == before
    call(*arguments, "--workers", 1)
    _, out, _ = call(*arguments, "--resume", "--dry-run")
    assert "12 shards finished earlier" in out


def test_a_failed_shard_is_named_and_the_code_is_1(tmp_path, call):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.jsonl").write_bytes(row("good"))
    (tmp_path / "in" / "cut.jsonl.gz").write_bytes(gzip.compress(row(MARKER) * 50)[:-9])
    code, out, err = call(tmp_path / "in", "-o", tmp_path / "out", "--workers", 1, "--report", tmp_path / "page.html")
    assert code == 1
    assert "1 of 2 shards cleaned; 1 failed" in out
    assert "failed: cut.jsonl.gz: " in err
    assert "truncated" in err
    assert corpora.outputs(tmp_path / "out") == {"good.jsonl"}
    assert "truncated" in (tmp_path / "page.html").read_text()


BAD_ROWS = [
    b'{"text": "%b"' % MARKER.encode(), b'{"text": %b}' % MARKER.encode(), b'["%b"]' % MARKER.encode(),
    b'{"body": "%b"}' % MARKER.encode(), b'{"text": "%b\xff"}' % MARKER.encode(),
    b'{"text": "a", "text": "%b"}' % MARKER.encode(), b'{"text": "a\\x%b"}' % MARKER.encode(),
]  # fmt: skip


@pytest.mark.parametrize("on_error", ["quarantine", "fail", "skip"])
def test_no_bad_row_is_quoted(tmp_path, call, on_error):
    """`call` looks for the marker in all that is said; here it is looked for in all that is written but the rows."""
    for number, bad in enumerate(BAD_ROWS):
        source = tmp_path / f"{number}.jsonl"
        source.write_bytes(row("good") + bad + b"\n")
        out, page = tmp_path / f"out{number}", tmp_path / f"{number}.html"
        code, said, err = call(
            source, "-o", out, "--on-error", on_error, "--audit", "--report", page, "--dedup", 0.9, "--workers", 1
        )
        assert code == (1 if on_error == "fail" else 0)
        assert ("failed: " in err) == (on_error == "fail")
        assert ("checked: 2 rows in = 1 out" in said) == (on_error != "fail")
        written = {name: data for name, data in corpora.tree(out).items() if "quarantine" not in name}
        assert MARKER.encode() not in b"".join([*written.values(), page.read_bytes()])


def test_an_unforeseen_error_is_one_line_without_its_message(tmp_path, call, monkeypatch):
    corpora.corpus(tmp_path / "in", shards=1, n=2)

    def broken(*args, **options):
        raise KeyError(MARKER)

    for place in ("dslab.clean.run.prepare", "dslab.clean.run.execute"):
        with monkeypatch.context() as patch:
            patch.setattr(place, broken)
            code, _, err = call(tmp_path / "in", "-o", tmp_path / "out")
        assert code == 1
        assert err.startswith("failed: KeyError")
        assert err.count("\n") == 1
    monkeypatch.setattr("dslab.clean.run.clean_shard", broken)
    code, _, err = call(tmp_path / "in", "-o", tmp_path / "out", "--workers", 1)
    assert code == 1
    assert "failed: 0.jsonl: KeyError" in err or "failed: part0/0.jsonl: KeyError" in err


def test_a_wrong_column_is_hinted_at(tmp_path, call):
    corpora.corpus(tmp_path / "in", shards=1, n=3, bad=False)
    code, out, err = call(tmp_path / "in", "-o", tmp_path / "out", "--text-column", "content", "--workers", 1)
    assert code == 0
    assert "3 quarantined" in out
    assert "is 'content' the right --text-column?" in err


def test_an_unwritable_target(tmp_path, call):
    corpora.corpus(tmp_path / "in", shards=1, n=3)
    (tmp_path / "file").write_text("")
    code, _, err = call(tmp_path / "in", "-o", tmp_path / "file" / "out")
    assert code == 1
    assert "cannot write" in err
    code, _, err = call(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "file" / "page.html")
    assert code == 1
    assert "page.html" in err


def test_ctrl_c_is_130_and_resume_ends_it(tmp_path):
    corpora.corpus(tmp_path / "in", shards=4, n=400)
    child = corpora.start(tmp_path / "in", "-o", tmp_path / "out", "--workers", "2")
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob("part*/.part-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130, err
    assert "--resume goes on" in err
    assert "Traceback" not in err
    assert not list((tmp_path / "out").rglob(".part-*"))
    for out in ("out", "whole"):
        run.execute(run.prepare([str(tmp_path / "in")], str(tmp_path / out), Job(), resume=True))
    assert corpora.tree(tmp_path / "out") == corpora.tree(tmp_path / "whole")
