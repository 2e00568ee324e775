"""What is a question, what is an answer, and what is refused before a run starts."""

import warnings

import pytest
from small import Item, tokenizer

from dslab.training import encode, encode_rows, prompt_ids, turn_end
from dslab.training.chat import IGNORED


@pytest.fixture(scope="module")
def tok():
    return tokenizer()


def learned(row):
    return [token for token in row.labels if token != IGNORED]


def test_the_answer_and_its_end_are_learned_and_nothing_else(tok):
    row = encode(tok, "what day?", "may 5")
    assert tok.decode(learned(row)) == "may 5<end>"
    before = tok.decode(row.input_ids[: row.labels.index(learned(row)[0])])
    assert before == "<bos><turn>system\nbe nice<end>\n<turn>user\nwhat day?<end>\n<turn>assistant\n"
    assert len(row.input_ids) == len(row.labels)
    assert all(label in (token, IGNORED) for token, label in zip(row.input_ids, row.labels, strict=True))


def test_training_continues_the_very_tokens_that_evaluation_gives(tok):
    for system in (None, "", "terse"):
        row = encode(tok, "a b", "c", system=system)
        assert row.input_ids[:-2] == prompt_ids(tok, "a b", system=system)


def test_a_system_turn_takes_the_place_of_the_default(tok):
    assert "be nice" in tok.decode(prompt_ids(tok, "a"))
    assert tok.decode(prompt_ids(tok, "a", system="")).startswith("<bos><turn>system\n<end>\n<turn>user")
    assert tok.decode(prompt_ids(tok, "a", system="terse")).startswith("<bos><turn>system\nterse<end>\n")


def test_shots_are_turns(tok):
    text = tok.decode(prompt_ids(tok, "c", system="", shots=[Item("a", "b")]))
    assert text.endswith("<turn>user\na<end>\n<turn>assistant\nb<end>\n<turn>user\nc<end>\n<turn>assistant\n")


def test_without_a_template():
    plain = tokenizer(template=None)
    row = encode(plain, "a", "b")
    assert plain.decode(row.input_ids) == "a\nb<end>"
    assert plain.decode(learned(row)) == "b<end>"
    assert plain.decode(prompt_ids(plain, "c", system="s", shots=[Item("a", "b")])) == "s\n\na\nb\n\nc\n"


def test_the_end_of_turn_is_the_templates_own():
    other = tokenizer(template="{% for m in messages %}{{ m.role }}:{{ m.content }}<turn>\n{% endfor %}")
    assert other.eos_token == "<end>"
    assert turn_end(other) == other.convert_tokens_to_ids("<turn>")
    endless = tokenizer(template="{% for m in messages %}{{ m.content }}\n{% endfor %}")
    assert turn_end(endless) == endless.eos_token_id
    endless.eos_token = None
    with pytest.raises(ValueError, match="no end token"):
        turn_end(endless)


def test_rows_may_be_mappings_or_items(tok):
    assert encode_rows([{"q": "a", "a": "b"}], tok, prompt="q", answer="a") == encode_rows([Item("a", "b")], tok)


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        (
            {"question": "a", "answer": "b"},
            ValueError,
            "row 1: expected the column 'prompt'; the row has question, ans",
        ),
        ("a b", ValueError, "row 1: expected the column 'prompt'; the row is a str"),
        ({"prompt": "a", "answer": " \n"}, ValueError, "row 1: the answer is empty"),
        ({"prompt": "a", "answer": 5}, TypeError, "row 1: the answer must be a str, got int: 5"),
        ({"prompt": None, "answer": "b"}, TypeError, "row 1: the prompt must be a str, got NoneType"),
        ({"prompt": "a" * 80, "answer": "b"}, ValueError, "row 1: the prompt alone has .* nothing of the answer"),
    ],
)
def test_a_bad_row_is_refused_with_its_number(tok, bad, error, says):
    with pytest.raises(error, match=says):
        encode_rows([Item("a", "b"), bad], tok, max_length=80)


def test_no_rows_and_no_system_turn_are_refused(tok):
    with pytest.raises(ValueError, match="no rows"):
        encode_rows([], tok)
    strict = tokenizer(
        template="{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{{ m.content }}<end>{% endfor %}"
    )
    with pytest.raises(ValueError, match="refuses turns of system, user: no system role"):
        encode(strict, "a", "b", system="")


def test_cut_answers_are_counted(tok):
    whole = len(encode(tok, "a", "b" * 9).input_ids)
    with pytest.warns(UserWarning, match=f"1 of 2 answers are cut at max_length={whole - 1}"):
        short, cut = encode_rows([Item("a", "b"), Item("a", "b" * 9)], tok, max_length=whole - 1)
    assert short.labels[-1] == tok.eos_token_id
    assert len(cut.input_ids) == whole - 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_rows([Item("a", "b" * 9)], tok, max_length=whole)
