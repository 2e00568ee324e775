"""`dslab doctor`: what this machine has, and what to do about each fault. Standard library only at import.

It must answer where nothing is installed, so it reads metadata instead of importing the packages it judges. In a
notebook (`from dslab import doctor; doctor.show()`) it shows a table without paths, fit for saved outputs.
"""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dslab import paths
from dslab.setup import needs, pip

LEAST_MEMORY, LEAST_DISK = 1.7e9, 1.0e9
SETUP = "run `python3 -m dslab fetch` in the checkout: it sets up what is missing"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `ok` is False only for a fault; advice on an `ok` finding is a note."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def diagnose() -> list[Finding]:
    """Look at everything, a second at most; a check that itself breaks becomes a fault, never a stack trace."""
    checks: list[Callable[[], Finding]] = [
        python, packages, lock, weights, kernel, cores, memory, disk, gpu, browser,
    ]  # fmt: skip
    findings = []
    for check in checks:
        try:
            findings.append(check())
        except Exception as error:  # diagnosis is for broken machines: whatever breaks is a finding
            findings.append(Finding(check.__name__, False, f"the check failed: {error}", "please report this"))
    return findings


def python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    note = "" if sys.version_info[:2] <= (3, 13) else "newer than what is tested (3.11 to 3.13)"
    return Finding("Python", True, found, note)


def packages() -> Finding:
    wanted = needs.needs(needs.EVERYDAY)
    missing = [need for need in wanted if not needs.is_met(need)]
    if missing:
        names = ", ".join(f"{need} (here: {needs.installed(need.name) or 'none'})" for need in missing[:4])
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        return Finding("packages", False, f"{len(missing)} of {len(wanted)} lacking: {names}{more}", SETUP)
    return Finding("packages", True, f"all {len(wanted)} present, new enough")


def lock() -> Finding:
    """Other versions than the lock's are allowed; saved outputs may then differ in the last digits."""
    root = paths.checkout()
    if root is None:
        return Finding("lock file", True, "none: installed without a checkout")
    differing = []
    for line in (root / "requirements.lock").read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition(";")[0].strip().partition("==")
        present = needs.installed(name) if version and not line.startswith("#") else None
        if present is not None and present.split("+")[0] != version:
            differing.append(f"{name} {present} (lock: {version})")
    if not differing:
        return Finding("lock file", True, "same versions as the saved outputs were made with")
    shown = ", ".join(differing[:3]) + (f" and {len(differing) - 3} more" if len(differing) > 3 else "")
    return Finding(
        "lock file", True, f"other versions: {shown}", "fine; numbers may differ slightly from the saved ones"
    )


def weights() -> Finding:
    from dslab.models import cache, resolver

    if not os.environ.get("DSLAB_MODEL_DIR"):
        _, fault = cache.check(resolver.cached_folder(), thorough=True)
        if fault and fault != "not there":
            return Finding("weights", False, f"the cached copy: {fault}", "run `python3 -m dslab fetch`: it is remade")
    try:
        found = resolver.weights()
    except (OSError, ValueError, ImportError) as error:
        return Finding("weights", False, str(error), "run `python3 -m dslab fetch` while online")
    note = "" if found.pinned else "not the pinned weights: claims about quality are recorded, not judged"
    return Finding("weights", True, f"SmolLM2-135M-Instruct from {found.source}, SHA-256 {found.sha256[:12]}", note)


def kernel() -> Finding:
    version = needs.installed("ipykernel")
    if version is None:
        return Finding("notebook kernel", False, "ipykernel is missing", SETUP)
    spec = Path(sys.prefix, "share", "jupyter", "kernels", "python3", "kernel.json")
    if spec.is_file() or "ipykernel" in sys.modules:
        return Finding("notebook kernel", True, f"python3, ipykernel {version}")
    advice = "run `python -m ipykernel install --sys-prefix` in this environment"
    return Finding("notebook kernel", False, "this environment has no kernel called python3", advice)


def cores() -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    note = "stated times are for two cores" if count < 2 else ""
    return Finding("cores", True, f"{count} usable", note)


def memory() -> Finding:
    size = _memory_bytes()
    if size is None:
        return Finding("memory", True, "unknown", "a notebook needs up to 1.5 GB")
    if size < LEAST_MEMORY:
        return Finding("memory", False, f"{size / 1e9:.1f} GB", "a notebook needs up to 1.5 GB: close other programs")
    return Finding("memory", True, f"{size / 1e9:.0f} GB")


def _memory_bytes() -> float | None:
    """Physical memory, or the container's limit where that is smaller."""
    try:
        total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        if needs.installed("psutil") is None:
            return None
        import psutil

        total = float(psutil.virtual_memory().total)
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = Path(limit).read_text().strip() if Path(limit).is_file() else ""
        if text.isdigit():
            total = min(total, float(text))
    return total


def disk() -> Finding:
    place = paths.cache_dir()
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < LEAST_DISK:
        return Finding("disk", False, f"{free / 1e9:.1f} GB free", "free 1 GB, or set DSLAB_CACHE to another disk")
    return Finding("disk", True, "over 10 GB free" if free > 1e10 else f"{free / 1e9:.0f} GB free")


def gpu() -> Finding:
    if pip.has_nvidia():
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=5).stdout.strip().splitlines()
        except (OSError, subprocess.TimeoutExpired):
            said = []
        built = needs.installed("torch") or ""
        note = "torch is the CPU build and will not use it" if built.endswith("+cpu") else ""
        return Finding("GPU", True, said[0] if said else "NVIDIA driver", note)
    if sys.platform == "darwin" and os.uname().machine == "arm64":
        return Finding("GPU", True, "Apple (device=mps)")
    return Finding("GPU", True, "none", "none needed; CUDA parts are shown, not run")


def browser() -> Finding:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
    found = next((name for name in names if shutil.which(name)), None)
    return Finding("test browser", True, found or "none", "" if found else "optional; the browser test is skipped")


# --- showing --------------------------------------------------------------------------------------------------------

MARKS = {"ok": "good", "note": "note", "fault": "FAULT"}


def state(finding: Finding) -> str:
    """ "ok", "note" (good, with something to know) or "fault"."""
    return "fault" if not finding.ok else "note" if finding.advice else "ok"


def as_text(findings: list[Finding]) -> str:
    """One line a finding, the advice below it, and a closing line."""
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[state(finding)]:<6}{finding.name:<17}{finding.found}")
        if finding.advice:
            lines.append(f"{'':<23}-> {finding.advice}")
    faults = sum(not finding.ok for finding in findings)
    closing = "Everything needed is here." if not faults else f"{faults} fault{'s' * (faults > 1)} to mend."
    return "\n".join([*lines, closing])


def as_html(findings: list[Finding]) -> str:
    """The same as a table."""
    rows = "".join(
        f"<tr><td>{MARKS[state(f)]}</td><td>{html.escape(f.name)}</td>"
        f"<td style='text-align:left'>{html.escape(f.found)}</td>"
        f"<td style='text-align:left'>{html.escape(f.advice)}</td></tr>"
        for f in findings
    )
    titles = ("", "what", "found", "to know or do")
    head = "<tr>" + "".join(f"<th style='text-align:left'>{title}</th>" for title in titles) + "</tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


class Report:
    """Findings that show themselves: a table in a notebook, lines elsewhere."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings

    def _repr_html_(self) -> str:
        return as_html(self.findings)

    def __repr__(self) -> str:
        return as_text(self.findings)


def show() -> None:
    """Diagnose and show, in a notebook or a terminal."""
    report = Report(diagnose())
    if "IPython" in sys.modules:
        from IPython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            display(report)
            return
    print(report)


def main() -> int:
    """`dslab doctor`, also where the command line cannot be imported: print, and 1 if there is a fault."""
    findings = diagnose()
    print(Report(findings))
    return int(any(not finding.ok for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
