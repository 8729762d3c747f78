"""Values that are not written in JSON, as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.pipeline.model_dialects.reading import Reader
from serve.pipeline.model_dialects.values import json_of, quoted_value

SCHEMA = {
    "properties": {
        "text": {"type": "string"},
        "texts": {"type": ["string"]},
        "either": {"type": ["string", "null"]},
        "odd": True,
    }
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("text", "key", "wanted"),
    [
        ("12", "text", '"12"'),
        (" a\n", "text", '" a\\n"'),
        ("true", "texts", '"true"'),
        ("12", "either", "12"),
        ("12", "other", "12"),
        (" 1.5 ", "other", "1.5"),
        ("True", "odd", "true"),
        ("None", "other", "null"),
        ("{'a': (1, None)}", "other", '{"a": [1, null]}'),
        ("plain words ", "other", '"plain words "'),
        ("NaN", "other", '"NaN"'),
        ("1e999", "other", '"1e999"'),
        ("[1e999]", "other", '"[1e999]"'),
        ("{1, 2}", "other", '"{1, 2}"'),
        ("b'x'", "other", "\"b'x'\""),
        ("", "other", '""'),
        ("9" * 5000, "other", f'"{"9" * 5000}"'),
        ("0x" + "f" * 5000, "other", f'"0x{"f" * 5000}"'),
        ("[" * 100_000, "other", f'"{"[" * 100_000}"'),
        ("-" * 100_000 + "1", "other", f'"{"-" * 100_000}1"'),
    ],
    ids=lambda value: value[:12],
)
def test_a_value_has_the_type_that_the_tool_asks_for(text: str, key: str, wanted: str) -> None:
    assert json_of(text, SCHEMA, key) == wanted


def test_the_model_may_say_whether_a_value_is_text() -> None:
    assert json_of("12", SCHEMA, "text", is_text=False) == "12"
    assert json_of("12", SCHEMA, "other", is_text=True) == '"12"'


@pytest.mark.parametrize("schema", [{}, {"properties": []}, {"properties": {"a": None}}])
def test_schemas_of_any_kind_are_borne(schema: dict[str, Any]) -> None:
    assert json_of("1", schema, "a") == "1"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<q>a, b<q>", '"a, b"'),
        ("{a:<q>x<q>,b_c:[<q>{d:1}<q>,2]}", '{"a": "x", "b_c": ["{d:1}", 2]}'),
        ("12", "12"),
    ],
)
def test_quotes_of_a_models_own(text: str, wanted: str) -> None:
    assert json_of(text, {}, "a", quote="<q>") == wanted


@given(st.text(max_size=40), st.sampled_from(["", '"', "'", "<q>"]))
def test_any_text_is_some_json(text: str, quote: str) -> None:
    json.loads(json_of(text, SCHEMA, "other", quote=quote), parse_constant=pytest.fail)


@given(JSON)
def test_json_and_python_come_back(value: Any) -> None:
    assert json.loads(json_of(json.dumps(value), {}, "a", quote='"')) == value
    assert json.loads(json_of(repr(value), {}, "a", quote="'")) == value


def read(text: str, quote: str, size: int) -> tuple[str, str]:
    """A value that was read in pieces, and the rest of the text."""
    reader = Reader()
    steps = quoted_value(reader, quote)
    try:
        for at in range(0, len(text), size):
            reader.add(text[at : at + size])
            next(steps)
        reader.is_over = True
        next(steps)
    except StopIteration as end:
        return end.value, text[reader.place :]
    raise AssertionError("it waits for text that never comes")


@pytest.mark.parametrize(
    ("text", "quote", "wanted"),
    [
        ("1, b=2)", '"', "1"),
        ("'a, b)', c=1)", '"', "'a, b)'"),
        ('"it\'s \\"so\\")", x', "'", '"it\'s \\"so\\")"'),
        ("[1, (2, 3)], x", '"', "[1, (2, 3)]"),
        ("{'a': ['}']})", '"', "{'a': ['}']}"),
        ("<q>a, <b> }<q>}", "<q>", "<q>a, <b> }<q>"),
        ("<q><q>,", "<q>", "<q><q>"),
        ("1<2,", "<q>", "1<2"),
    ],
)
def test_a_value_ends_at_a_comma_or_bracket_of_its_own_depth(
    text: str, quote: str, wanted: str
) -> None:
    for size in (1, 2, 3, len(text)):
        assert read(text, quote, size) == (wanted, text[len(wanted) :])


def test_words_of_python_stand_in_values_with_bare_keys() -> None:
    written = "{a:None,True:<q>None<q>,b:[False,{None:True}]}"
    found = json.loads(json_of(written, SCHEMA, "other", quote="<q>"))
    assert found == {"a": None, "True": "None", "b": [False, {"None": True}]}


def test_what_stands_around_a_value_for_xml_is_no_part_of_it() -> None:
    assert json_of("<![CDATA[a < b]]>", SCHEMA, "text") == '"a < b"'
    assert json.loads(json_of('<![CDATA[["<"]]]>', SCHEMA, "other")) == ["<"]
