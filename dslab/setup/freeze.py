"""`python -m dslab.setup.freeze`: print requirements.lock as this environment has it.

Only what pyproject.toml's `test` extra needs, followed through, and the build backend that installs dslab itself: a
stray package in the developer's environment does not get in.
"""

from __future__ import annotations

import sys
from importlib import metadata

from dslab.setup.needs import DISTRIBUTION, canonical, release

HEADER = """\
# The exact environment that the saved outputs were made with: what pyproject.toml's `test` extra needs, and what
# installs dslab itself. `torch==2.13.0` also admits 2.13.0+cpu; dslab/setup/pip.py chooses the index.
# To make it anew: install `-e .[test] hatchling editables` into an empty environment, then
# `python -m dslab.setup.freeze > requirements.lock`.
"""
ROOTS = [(DISTRIBUTION, ("test",)), ("hatchling", ()), ("editables", ())]
POSIX_ONLY = {"pexpect", "ptyprocess"}
ELSEWHERE = ['appnope>=0.1.4; sys_platform == "darwin"', 'colorama>=0.4.6; sys_platform == "win32"']


def lock_lines() -> list[str]:
    """`name==version` for every distribution that the roots lead to on this platform, sorted by name."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    waiting: list[tuple[str, tuple[str, ...]]] = list(ROOTS)
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        distribution = metadata.distribution(name)
        # A local version (2.13.0+cpu) exists on one index only; the public one admits it.
        found[canonical(name)] = distribution.version.split("+")[0]
        for requirement in map(Requirement, distribution.requires or []):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append((canonical(requirement.name), tuple(sorted(requirement.extras))))
    found.pop(DISTRIBUTION)
    return [
        f'{name}=={version}; sys_platform != "win32"' if name in POSIX_ONLY else f"{name}=={version}"
        for name, version in sorted(found.items())
    ]


def main() -> None:
    if sys.version_info[:2] != (3, 11):
        sys.exit(f"the lock is made with Python 3.11; this is {'.'.join(map(str, release(sys.version)))}")
    print(HEADER + "\n".join(sorted([*lock_lines(), *ELSEWHERE])))


if __name__ == "__main__":
    main()
