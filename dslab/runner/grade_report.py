"""grades.csv and grades.html: one row a student and exercise, and one page for the teacher."""

from __future__ import annotations

import collections
import csv
import datetime
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dslab.runner import normalize
from dslab.runner.display import duration
from dslab.runner.grade_pool import Graded, Limits
from dslab.runner.grade_submissions import Submission
from dslab.runner.report import TEMPLATES

# Each state: how it looks, its sign, and words for it; best first, as counts where a notebook was handed in twice.
STATES = {
    "right": ("good", "✓", "right"),
    "wrong": ("bad", "✗", "wrong"),
    "timeout": ("soft", "…", "took too long"),
    "memory": ("soft", "▲", "too much memory"),
    "exited": ("soft", "⏏", "ended its process"),
    "crashed": ("soft", "⚡", "crashed"),
    "todo": ("open", "·", "to do"),
    "missing": ("open", "–", "missing"),
    "unreadable": ("soft", "?", "unreadable"),
    "ungraded": ("soft", "∅", "not graded"),
}
MOST_DIAGNOSES = 5
NOT_HANDED_IN = "No notebook {notebook} was handed in."
FENCES = {
    "namespace": "Submissions ran in a network namespace of their own, where no address can be reached.",
    "hook": "This system permits no network namespace: Python itself refused connections, which native code can get "
    "around.",
}


@dataclass(frozen=True)
class Row:
    """One exercise of one student: a row of the table."""

    student: str
    notebook: str
    exercise: str
    state: str
    passed: bool
    diagnosis: str
    seconds: float
    file: str


def rows(found: Sequence[Submission], graded: Iterable[Graded], exercises: dict[str, list[str]]) -> list[Row]:
    """A row for every student and every exercise of every notebook that anyone handed in."""
    results = collections.defaultdict[tuple[str, str, str], list[Graded]](list)
    for one in graded:
        results[one.submission.student, one.submission.notebook or "", one.exercise].append(one)
    order = list(STATES)
    made = []
    for student in sorted({submission.student for submission in found}):
        own = [submission for submission in found if submission.student == student]
        for number in sorted({submission.notebook for submission in found if submission.notebook}):
            broken = [s for s in own if s.unreadable and s.notebook in (number, None)]
            for exercise in exercises[number]:
                candidates = results[student, number, exercise]
                if candidates:
                    best = min(candidates, key=lambda one: order.index(one.state))
                    told = (best.state, best.diagnosis, round(best.seconds, 2), best.submission.file)
                elif broken:
                    told = ("unreadable", broken[0].unreadable, 0.0, broken[0].file)
                else:
                    told = ("missing", NOT_HANDED_IN.format(notebook=number), 0.0, "")
                state, diagnosis, seconds, file = told
                made.append(Row(student, number, exercise, state, state == "right", diagnosis, seconds, file))
    return made


def write(
    folder: Path, table: Sequence[Row], found: Sequence[Submission], networks: Iterable[str], limits: Limits,
    started: datetime.datetime, seconds: float,
) -> Path:  # fmt: skip
    """Write both files. Returns the page's path."""
    normalize.write_text(folder / "grades.csv", "\ufeff" + as_csv(table))  # the mark by which Excel knows UTF-8
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["duration"] = duration
    students = {row.student: [other for other in table if other.student == row.student] for row in table}
    page = environment.get_template("grade.html").render(
        students=students,
        columns=list(dict.fromkeys((row.notebook, row.exercise) for row in table)),
        notebooks=collections.Counter(row.notebook for row in next(iter(students.values()))),
        exercises=by_exercise(table),
        states=STATES,
        counts=collections.Counter(row.state for row in table),
        total=len(table),
        twice=handed_in_twice(found),
        passed_over=[submission.file for submission in found if not submission.notebook and not submission.unreadable],
        broken=[submission.unreadable for submission in found if submission.unreadable],
        fences=[FENCES[network] for network in sorted(set(networks)) if network in FENCES],
        limits=limits,
        started=started,
        seconds=seconds,
    )
    path = folder / "grades.html"
    normalize.write_text(path, page)
    return path


def as_csv(table: Sequence[Row]) -> str:
    """The table as CSV. What a spreadsheet would take for a formula gets an apostrophe before it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Row))
    for row in table:
        values = asdict(row) | {"passed": str(row.passed).lower()}
        writer.writerow(_harmless(value) for value in values.values())
    return text.getvalue()


def by_exercise(table: Sequence[Row]) -> list[dict[str, Any]]:
    """For each exercise: how many got it right, and the most frequent diagnoses with who heard them."""
    found = []
    for notebook, exercise in dict.fromkeys((row.notebook, row.exercise) for row in table):
        own = [row for row in table if (row.notebook, row.exercise) == (notebook, exercise)]
        heard = collections.defaultdict[str, list[str]](list)
        for row in own:
            if row.state not in ("right", "todo", "missing"):
                heard[row.diagnosis].append(row.student)
        most = sorted(heard.items(), key=lambda item: -len(item[1]))
        found.append(
            {
                "notebook": notebook,
                "exercise": exercise,
                "counts": collections.Counter(row.state for row in own),
                "total": len(own),
                "diagnoses": most[:MOST_DIAGNOSES],
                "others": len(most[MOST_DIAGNOSES:]),
            }
        )
    return found


def handed_in_twice(found: Sequence[Submission]) -> list[tuple[str, str, list[str]]]:
    """(student, notebook, files) where a student handed the same notebook in more than once."""
    files = collections.defaultdict[tuple[str, str], list[str]](list)
    for submission in found:
        if submission.notebook and not submission.unreadable:
            files[submission.student, submission.notebook].append(submission.file)
    return [(*who, names) for who, names in files.items() if len(names) > 1]


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value
