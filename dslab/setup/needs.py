"""What dslab needs, by the lower bounds of pyproject.toml, and what of it this interpreter lacks."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib import metadata

from dslab import paths

DISTRIBUTION = "dslab-course"
EVERYDAY = ("llm", "book", "lab")  # `dslab test` adds "test"
HOSTED = ("llm", "book")  # Colab brings its own notebook server
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?\s*(?:>=\s*([0-9][0-9.]*))?")


@dataclass(frozen=True)
class Need:
    """One requirement: a distribution's name and the least version of it."""

    name: str
    least: str

    def __str__(self) -> str:
        return f"{self.name}>={self.least}" if self.least else self.name


def needs(extras: tuple[str, ...] = EVERYDAY) -> list[Need]:
    """The requirements of dslab with these extras, each once, in alphabetical order."""
    groups = _groups()
    found: dict[str, Need] = {}
    waiting = ["", *extras]
    for group in waiting:  # grows while we walk: an extra may name other extras of ours
        if group not in groups:
            raise ValueError(f"dslab has no extra {group!r}; it has {', '.join(sorted(filter(None, groups)))}")
        for text in groups[group]:
            match = _REQUIREMENT.match(text)
            assert match, text
            name, inner, least = match.group(1), match.group(2), match.group(3) or ""
            if canonical(name) == DISTRIBUTION:
                waiting += [extra.strip() for extra in (inner or "").split(",") if extra.strip() not in waiting]
            else:
                found[canonical(name)] = Need(canonical(name), least)
    return sorted(found.values(), key=lambda need: need.name)


def _groups() -> dict[str, list[str]]:
    """Extra -> requirement texts ("" holds the plain ones): from the checkout, or from the installed wheel."""
    root = paths.checkout()
    if root:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return {"": project["dependencies"], **project.get("optional-dependencies", {})}
    groups: dict[str, list[str]] = {"": []}
    for text in metadata.requires(DISTRIBUTION) or []:
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", text)
        groups.setdefault(extra.group(1) if extra else "", []).append(text.split(";")[0])
    return groups


def canonical(name: str) -> str:
    """The normal form of a distribution's name (PEP 503).

    >>> canonical("Jinja2"), canonical("ruamel_yaml")
    ('jinja2', 'ruamel-yaml')
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, for comparing; local and pre-release parts are left out, trailing zeros too.

    >>> release("2.11.0+cu128"), release("2.11") <= release("2.11.0a1")
    ((2, 11), True)
    """
    match = re.match(r"\s*v?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in match.group(1).split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def installed(name: str) -> str | None:
    """The installed version, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def unmet(extras: tuple[str, ...] = EVERYDAY) -> list[Need]:
    """The requirements that this interpreter lacks or has in too old a version."""
    return [need for need in needs(extras) if not is_met(need)]


def is_met(need: Need) -> bool:
    version = installed(need.name)
    return version is not None and release(version) >= release(need.least)


def pins(free: set[str]) -> list[str]:
    """Constraints that hold every installed distribution at its version, except those named in `free`."""
    lines = set()
    for distribution in metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.version
        plain = name and version and re.fullmatch(r"\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)*(\+[\w.]+)?", version)
        if plain and canonical(name) not in free | {DISTRIBUTION}:
            lines.add(f"{canonical(name)}=={version}")
    return sorted(lines)
