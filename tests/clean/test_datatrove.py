"""README's pipeline for many machines, word for word, and what a resumed run says about its output."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import corpora
import pytest

import dslab
from dslab.clean import Job, execute, prepare

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
    done = subprocess.run([sys.executable, "pipeline.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert execute(prepare([str(tmp_path / "raw")], str(tmp_path / "clean"), Job(), resume=True)).reused == 4
    assert execute(prepare([str(tmp_path / "raw")], str(tmp_path / "whole"), Job())).is_complete
    assert corpora.tree(tmp_path / "clean") == corpora.tree(tmp_path / "whole")
