"""For all tests.

An example of hypothesis may take as long as it likes: on a busy machine its time says nothing. And children hear Ctrl-C
even where the tests run as a shell's background job, which ignores it.
"""

from __future__ import annotations

import contextlib
import signal

with contextlib.suppress(ImportError):
    from hypothesis import settings

    settings.register_profile("house", deadline=None)
    settings.load_profile("house")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
