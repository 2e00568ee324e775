"""The bars of `dslab bench privacy`: what the saved table says, and what is cheap measured again."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from dslab.bench import privacy, privacy_peers
from dslab.bench.report import Row

TRIES = 3
# Bars that must hold. The others may be recorded as missed, but not be left out. Missed when this was written:
# passports and mobiles of the second hand (columns without a header, numbers broken over two lines), and two of its
# values half eaten (full-width German numbers).
MUST = (
    f"{privacy_peers.PRESIDIO} over ours, CPU time a byte",
    f"{privacy_peers.DATATROVE} over ours, CPU time a byte",
    privacy.ATTACK_ROW,
    privacy.RESEARCH_ROW,
    "first hand, values eaten by half",
    *(f"{hand} hand, look-alikes hit" for hand in privacy.HANDS),
    *(
        f"{hand} hand, {what}, lowest of {' '.join(privacy.BARS[0][0])}"
        for hand in privacy.HANDS
        for what in ("recall", "precision")
    ),
)


@pytest.fixture(scope="module")
def table() -> privacy.Compared:
    return privacy.load()


def test_every_bar_of_the_issue_is_in_the_saved_table(table: privacy.Compared) -> None:
    rows = {row.quantity: row for row in table.rows}
    for quantity, must, aim in (
        (MUST[0], 20, 60), (MUST[1], 1, 3), (privacy.ATTACK_ROW, 6, 4.5), (privacy.RESEARCH_ROW, 1, None),
        (privacy.WORKERS_ROW, 1.7, 1.9),
    ):  # fmt: skip
        assert (rows[quantity].must, rows[quantity].aim) == (must, aim)
        assert rows[quantity].value is not None, f"{quantity} was not measured"
    for hand in privacy.HANDS:
        for types, recall, precision, aim in privacy.BARS:
            for what, must in (("recall", recall), ("precision", precision)):
                row = rows[f"{hand} hand, {what}, lowest of {' '.join(types)}"]
                assert (row.must, row.aim) == (must, aim)
    assert sorted(kind for types, *_ in privacy.BARS for kind in types) == sorted(_types())
    assert {"processor", "threads", "date", "load_average"} <= set(table.machine)


@pytest.mark.parametrize("quantity", MUST)
def test_the_saved_table_reaches(table: privacy.Compared, quantity: str) -> None:
    row = next(row for row in table.rows if row.quantity == quantity)
    assert row.holds, f"{row.value} {row.bound} {row.must}"


def test_two_workers_are_judged_with_the_load_they_were_measured_under(table: privacy.Compared) -> None:
    """Beside neighbours the ratio says nothing about the code: the bar must hold where the machine was idle."""
    row = next(row for row in table.rows if row.quantity == privacy.WORKERS_ROW)
    load = next(fact["load before"] for fact in table.facts if fact["part"] == "workers")
    assert f"load average {load}" in row.why
    assert row.holds or load > 0.3


def test_faster_than_datatrove_live() -> None:
    """600 pages, CPU time in turns; a busy neighbour empties our caches, so a miss is tried again."""
    best = 0.0
    for _ in range(TRIES):
        seconds = privacy.row(600)
        best = max(best, seconds[privacy_peers.DATATROVE] / seconds[privacy_peers.OURS])
        if best >= 1:
            break
    assert best >= 1


def test_the_peers_find_what_they_are_known_for() -> None:
    """A comparison with a peer that is set up wrongly would be worth nothing."""
    text = "write to ann@example.com, dial +86 138 0013 8000, pay with 4111111111111111, from 93.184.216.34"
    found = {name: {span.type for span in finder.find(text)} for name, finder in privacy_peers.everybody().items()}
    assert found[privacy_peers.TWO_REGEXES] == {"CN_MOBILE"}  # the card, all but its last digit
    assert found[privacy_peers.DATATROVE] == {"EMAIL", "IP"}
    assert "CN_MOBILE" in found[privacy_peers.PHONENUMBERS]
    assert {"EMAIL", "CARD", "IP", "PHONE_INTL"} <= found[privacy_peers.PRESIDIO]
    assert found[privacy_peers.OURS] == {"EMAIL", "IP", "CARD", "CN_MOBILE"}


@pytest.mark.parametrize("text", ["x ann@example.com, 8.8.8.8 and 10.0.0.1", "邮箱ann@example.com", "1.2.3.4.5"])
def test_datatrove_spans_are_what_its_formatter_replaces(text: str) -> None:
    finder = privacy_peers.Datatrove()
    kept = text
    for span in sorted(finder.find(text), key=lambda span: -span.start):
        kept = kept[: span.start] + "@@" + kept[span.end :]
    replaced = finder.format(text)
    for replacement in (*finder.formatter.emails_replacer.replacements, *finder.formatter.ip_replacer.replacements):
        replaced = replaced.replace(replacement, "@@")
    assert replaced == kept


def test_the_second_of_the_two_regexes_never_fires() -> None:
    finder = privacy_peers.TwoRegexes()
    assert all({s.type for s in finder.find("1" * n)} <= {"CN_MOBILE"} for n in range(1, 64))


def test_saved_and_read_again(tmp_path: object) -> None:
    made = privacy.Compared("privacy", [Row("q", 1.0, ">=", 2.0)], facts=[{"part": "p", "tool": "t", "MB/s": 3.0}])
    made.save(tmp_path)  # type: ignore[arg-type]
    assert privacy.load(tmp_path) == made  # type: ignore[arg-type]


def test_fourfold_sees_a_quadratic_finder() -> None:
    table = privacy.Compared("privacy")
    slow = SimpleNamespace(find=lambda text: [text.count("b", i) for i in range(0, len(text), 8)])
    assert privacy._fourfold(table, privacy_peers.DATATROVE, slow.find, "a", 20_000) > 8
    assert json.dumps(table.facts)


def _types() -> tuple[str, ...]:
    from dslab.privacy import TYPES

    return TYPES
