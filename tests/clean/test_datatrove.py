"""README's pipeline for many machines, word for word, and what `dslab clean --resume` says about its output."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import corpora
import pytest

import dslab

README = Path(dslab.__file__).parent / "clean" / "README.md"


def example() -> str:
    """The code block of README that uses ShardStep."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = [block for block in blocks if "ShardStep" in block]
    if not found:
        pytest.skip("README has no such example")
    return found[0]


def test_the_documented_pipeline_leaves_what_one_machine_leaves(tmp_path):
    pytest.importorskip("datatrove")
    corpora.corpus(tmp_path / "raw", shards=4, n=10, kinds=(".jsonl", ".jsonl.gz", ".parquet"))
    code = example().replace('"/shared/', f'"{tmp_path}/')
    (tmp_path / "pipeline.py").write_text(code)
    for _ in range(2):  # the second time there is nothing left to do
        done = subprocess.run([sys.executable, "pipeline.py"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    code, out, err = corpora.dslab_clean(tmp_path / "raw", "-o", tmp_path / "clean", "--resume")
    assert code == 0, err
    assert "4 of 4 shards cleaned, 4 of them by an earlier run and verified" in out
    assert corpora.dslab_clean(tmp_path / "raw", "-o", tmp_path / "whole")[0] == 0
    assert corpora.tree(tmp_path / "clean") == corpora.tree(tmp_path / "whole")
