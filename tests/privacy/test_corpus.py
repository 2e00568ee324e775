"""The made-up web: what it says was planted is there, what it does not say is not, and seeds decide everything."""

import random

import pytest

from dslab.dedup import contaminated, shingle_hashes
from dslab.dedup.quality import failed
from dslab.privacy import Detector
from dslab.privacy.synthetic import corpus, exam, phrases, web

N = 600
SEEDS = (0, 1, 7)


@pytest.fixture(scope="module", params=SEEDS)
def made(request):
    return corpus(N, request.param)


@pytest.fixture(scope="module")
def finds(made):
    detector = Detector()
    return [bool(detector.find(row["text"])) for row in made.rows]


def texts(made):
    return [row["text"] for row in made.rows]


def planted(made):
    """Rows of each fate; a row that is in none is an ordinary page."""
    return {
        "copy": {copy for copy, _ in made.near_duplicates},
        "junk": set(made.low_quality),
        "leak": {row for row, _ in made.leaked},
        "pii": set(made.pii),
    }


def ordinary(made):
    return sorted(set(range(len(made.rows))) - set.union(*planted(made).values()))


def similarities(made):
    """Jaccard similarity of the runs of five words of every planted pair, in their order."""
    cut = shingle_hashes(texts(made), k=5)
    pairs = [(set(cut[a].tolist()), set(cut[b].tolist())) for a, b in made.near_duplicates]
    return [len(a & b) / max(1, len(a | b)) for a, b in pairs]


def test_a_seed_decides_everything():
    first, again, other = corpus(200, 3), corpus(200, 3), corpus(200, 4)
    assert first == again, "rows and truth"
    assert sum(a == b for a, b in zip(texts(first), texts(other), strict=True)) < 20
    assert first.benchmark != other.benchmark
    assert first.leaked != other.leaked
    random.seed(99)  # the module's own generator plays no part
    assert corpus(200, 3) == first


def test_rows_are_those_of_a_web_corpus(made):
    assert len(made.rows) == N
    assert len({row["id"] for row in made.rows}) == N
    for row in made.rows:
        assert list(row) == ["id", "text", "url", "lang", "year"]
        assert row["text"].strip()
        assert row["url"].startswith("https://")
        assert row["lang"] in ("en", "zh")
        assert ".example/" in row["url"]
        assert 2009 <= row["year"] <= 2025
    assert 0.25 < sum(row["lang"] == "zh" for row in made.rows) / N < 0.55


def test_the_language_is_the_one_of_the_text(made):
    for number in ordinary(made):
        row = made.rows[number]
        chinese = sum("一" <= letter <= "鿿" for letter in row["text"])
        assert (chinese > len(row["text"]) / 2) == (row["lang"] == "zh")
        assert row["lang"] == "zh" or chinese == 0


def test_fates_have_their_shares_and_do_not_overlap(made):
    fates = planted(made)
    assert {name: len(rows) for name, rows in fates.items()} == {
        "copy": len(made.near_duplicates),
        "junk": N * 4 // 100,
        "leak": 20,
        "pii": 48,
    }
    assert N * 8 // 100 - 1 <= len(made.near_duplicates) <= N * 8 // 100, "one less where the first row was to be one"
    assert sum(map(len, fates.values())) == len(set.union(*fates.values()))


def test_copies_come_after_their_originals_and_are_near(made):
    assert all(0 <= original < copy < N for copy, original in made.near_duplicates)
    assert all(made.rows[a]["lang"] == made.rows[b]["lang"] for a, b in made.near_duplicates)
    near = sum(similarity >= 0.5 for similarity in similarities(made)) / len(made.near_duplicates)
    assert near >= 0.9


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(
    "text", ["邮箱：li@qq.com", "Call me: １３８００ any day. " * 20, "one", "早饭前，" * 30 + "好。"]
)
def test_an_edit_changes_words_and_never_the_page(text, lang):
    """Full-width digits in English, Chinese without a comma: what is cut there must still be cut somewhere."""
    edits = {web._edited(text, lang, random.Random(seed)) for seed in range(40)}
    assert text in edits
    assert len(edits) > 1
    if len(text) > 20:
        assert min(map(len, edits)) > 0.8 * len(text)


def test_no_copy_lost_its_page():
    for seed in range(2):
        some = corpus(1500, seed)
        lengths = [len(some.rows[a]["text"]) / len(some.rows[b]["text"]) for a, b in some.near_duplicates]
        assert min(lengths) > 0.6, "a copy differs in a few words"


def test_items_of_both_languages_leak(made):
    assert {made.benchmark[number].lang for _, number in made.leaked} == {"en", "zh"}


def test_three_in_ten_copies_are_exact_and_some_are_not_quite():
    pairs, exact, between = 0, 0, 0
    for seed in SEEDS:
        some = corpus(2000, seed)
        pairs += len(some.near_duplicates)
        exact += sum(some.rows[a]["text"] == some.rows[b]["text"] for a, b in some.near_duplicates)
        between += sum(0.5 <= similarity < 1 for similarity in similarities(some))
    assert pairs >= 3 * 159
    assert 0.23 < exact / pairs < 0.37, "30 %, and three standard deviations of 480 draws"
    assert between / pairs > 0.5


def test_pages_that_are_no_copies_are_not_alike(made):
    apart = [number for number in range(N) if number not in planted(made)["copy"] | planted(made)["junk"]]
    cut = shingle_hashes([made.rows[number]["text"] for number in apart], k=5)
    sets = [set(cut[i].tolist()) for i in range(150)]
    most = max(len(a & b) / len(a | b) for i, a in enumerate(sets) for b in sets[:i])
    assert most < 0.3


def test_a_leaked_row_holds_its_item_and_the_right_answer(made):
    assert [item for _, item in sorted(made.leaked, key=lambda pair: pair[1])] == list(range(1, len(made.benchmark), 2))
    for row, number in made.leaked:
        item, text = made.benchmark[number], made.rows[row]["text"]
        assert text.count(item.text) == 1
        assert made.rows[row]["lang"] == item.lang
        tail = text.split(item.text)[1]
        assert all(f"{letter}) {choice}" in tail for letter, choice in zip("ABCD", item.choices, strict=True))
        said = [choice for choice in item.choices if f"Answer: {choice}." in tail or f"答案：{choice}。" in tail]
        assert said == [item.choices[item.answer]]


def test_items_stand_on_leaked_pages_and_their_copies_only(made):
    home = dict(made.near_duplicates)

    def origin(row):
        return origin(home[row]) if row in home else row

    leaked = planted(made)["leak"]
    kept = [item.text for number, item in enumerate(made.benchmark) if number % 2 == 0]
    assert not [row for row, text in enumerate(texts(made)) if any(item in text for item in kept)]
    for row, text in enumerate(texts(made)):
        assert origin(row) in leaked or not any(item.text in text for item in made.benchmark)
    assert leaked <= set(contaminated(texts(made), [item.text for item in made.benchmark]).contaminated.tolist())


def test_junk_breaks_quality_rules_and_ordinary_pages_do_not(made):
    assert [n for n in made.low_quality if not failed(made.rows[n]["text"])] == []
    pages = ordinary(made)
    assert len(pages) > N / 2
    assert sum(not failed(made.rows[n]["text"]) for n in pages) / len(pages) >= 0.95


@pytest.mark.parametrize("junk", phrases.JUNK)
def test_every_kind_of_junk_fails_at_every_length(junk):
    assert all(failed("\n".join([junk] * times)) for times in range(3, 9))


def test_pii_rows_hold_a_value_and_other_pages_none(made, finds):
    missed = [n for n in made.pii if not finds[n]]
    assert len(missed) <= len(made.pii) / 50, f"the detector may miss a few, not {len(missed)} of {len(made.pii)}"
    clean = set(range(N)) - planted(made)["pii"] - planted(made)["copy"]
    assert [n for n in sorted(clean) if finds[n]] == []


def test_the_share_of_pii_is_as_asked():
    assert [len(corpus(200, 0, pii=share).pii) for share in (0, 0.1, 0.5)] == [0, 20, 100]


@pytest.mark.parametrize(
    ("n", "pii"), [(99, 0.08), (0, 0.08), (-1, 0.08), (200, -0.01), (200, 0.51), (200, float("nan"))]
)
def test_a_corpus_that_cannot_be_made_is_refused(n, pii):
    with pytest.raises(ValueError, match="at least 100 rows"):
        corpus(n, 0, pii=pii)


def test_the_smallest_corpus_has_its_length():
    assert all(len(corpus(100, seed).rows) == 100 for seed in range(20))
    assert len(corpus(100, 0, pii=0.5).rows) == 100


def test_exam_items_differ_and_the_key_is_balanced():
    items = exam.items(80, random.Random(5))
    assert len({item.text for item in items}) == 80
    assert all(len(set(item.choices)) == 4 and 0 <= item.answer < 4 for item in items)
    places = [sum(item.answer == place for item in items) for place in range(4)]
    assert all(8 < count < 32 for count in places), places
    words = [len(item.text) if item.lang == "zh" else len(item.text.split()) for item in items]
    assert min(words) >= 13, "shorter than the run of 13 that contamination looks for"
    assert all(item.lang == "zh" for item in items[3:20:4])
    assert not any(item.lang == "zh" for item in items[:20:4])


@pytest.mark.parametrize("answer", range(4))
@pytest.mark.parametrize(("lang", "key"), [("en", "Answer: {}."), ("zh", "答案：{}。")])
def test_a_page_says_the_right_answer_in_its_language(lang, key, answer):
    item = exam.Item("When?", ("1801", "1802", "1803", "1804"), answer, lang)
    assert item.page("Before.", "After.") == (
        f"Before. When? A) 1801  B) 1802  C) 1803  D) 1804 {key.format(1801 + answer)} After."
    )


def test_the_place_of_the_answer_is_no_hint():
    """Sorted by size, the right year stands anywhere: who always takes the smallest is right one time in four."""
    items = [item for seed in range(5) for item in exam.items(80, random.Random(seed))]
    lowest = sum(min(item.choices) == item.choices[item.answer] for item in items) / len(items)
    assert 0.17 < lowest < 0.33


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_prose_fills_every_slot_with_different_sentences(lang):
    every = phrases.prose(random.Random(1), lang, 99)
    assert len(every) == len(phrases.ZH_SENTENCES if lang == "zh" else phrases.EN_SENTENCES)
    assert not any("«" in text or "»" in text for text in every)
    assert phrases.sentence(random.Random(1), lang) in phrases.prose(random.Random(1), lang, 1)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_slot_of_a_template_has_words(lang):
    words, templates = (phrases.ZH, phrases.ZH_SENTENCES) if lang == "zh" else (phrases.EN, phrases.EN_SENTENCES)
    named = {slot for template in templates for slot in phrases.SLOT.findall(template)}
    assert named == set(words)
    assert all(len(set(pool.split("|"))) == len(pool.split("|")) >= 7 for pool in words.values())


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_contact_has_one_place_for_a_value(lang):
    rng = random.Random(2)
    assert all(phrases.contact(rng, lang)[0].count("«»") == 1 for _ in range(60))
