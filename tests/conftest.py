"""For all tests.

Helpers (`import corpora`) are found in each folder of tests, whose names differ; the files of tests need not.
An example of hypothesis may take as long as it likes: on a busy machine its time says nothing. And children hear Ctrl-C
even where the tests run as a shell's background job, which ignores it.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(folder) for folder in sorted(Path(__file__).parent.iterdir()) if folder.is_dir()]

with contextlib.suppress(ImportError):
    from hypothesis import settings

    settings.register_profile("house", deadline=None)
    settings.load_profile("house")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
