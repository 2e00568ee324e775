"""For all tests: an example of hypothesis may take as long as it likes; on a busy machine its time says nothing."""

from __future__ import annotations

import contextlib

with contextlib.suppress(ImportError):
    from hypothesis import settings

    settings.register_profile("house", deadline=None)
    settings.load_profile("house")
