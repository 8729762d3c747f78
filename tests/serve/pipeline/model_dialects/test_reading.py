"""Reading text that comes in pieces gives what the whole text gives."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.pipeline.model_dialects.reading import EndedError, MalformedError, Reader, Wait

CUTS = st.lists(st.integers(0, 80), max_size=6)
TEXTS = st.text(alphabet='ab {}[]",:\\\n', max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def read(
    reading: Callable[[Reader], Wait[Any]], text: str, cuts: Sequence[int] = ()
) -> tuple[Any, str]:
    """What a reading gives of a text in pieces, or the error's name, and the rest of the text."""
    reader = Reader()
    steps = reading(reader)
    bounds = [0, *sorted({cut for cut in cuts if 0 < cut < len(text)}), len(text)]
    result: Any = None
    pieces = [text[start:end] for start, end in pairwise(bounds)]
    try:
        for piece in pieces:
            reader.add(piece)
            next(steps)
        reader.is_over = True
        next(steps)
        raise AssertionError("it waits for text that never comes")
    except StopIteration as end:
        result = end.value
    except MalformedError as error:
        result = type(error).__name__
    return result, text[reader.place :]


def test_places_stay_true_and_can_be_returned_to() -> None:
    def reading(reader: Reader) -> Wait[tuple[int, str]]:
        yield from reader.expect("{")
        place = reader.place
        parts: list[str] = []
        yield from reader.raw_value(parts.append)
        reader.return_to(place)
        again: list[str] = []
        yield from reader.raw_value(again.append)
        assert "".join(parts) == "".join(again)
        return place, "".join(again)

    value = json.dumps(["x" * 5000] * 3)
    text = "{" + value + "."
    for size in (7, 2000, len(text)):
        assert read(reading, text, range(0, len(text), size)) == ((1, value), ".")


def test_what_is_forgotten_leaves_the_place_true() -> None:
    reader = Reader()
    reader.add("abc")
    reader.at = 2
    reader.forget()
    assert (reader.place, reader.text, reader.at) == (2, "c", 0)


@pytest.mark.parametrize(
    ("literal", "text", "wanted"),
    [
        ("ab", "ab.", (True, ".")),
        ("ab", " a\nb.", (True, ".")),
        (" a b ", "ab.", (True, ".")),
        ("ab", "ac", (False, "ac")),
        ("ab", "a", (False, "a")),
        (" ", "x", (True, "x")),
        ("", "", (True, "")),
    ],
)
def test_a_literal_matches_whatever_white_space(
    literal: str, text: str, wanted: tuple[bool, str]
) -> None:
    assert read(lambda reader: reader.match(literal), text) == wanted
    assert read(lambda reader: reader.match(literal), text, range(len(text))) == wanted


@pytest.mark.parametrize(
    ("text", "rest"),
    [("</a>x", "x"), ("</", ""), (" < /", ""), ("<b", "<b"), ("</a", ""), ("x", "x"), ("", "")],
)
def test_a_close_is_read_as_far_as_it_is_there(text: str, rest: str) -> None:
    assert read(lambda reader: reader.match_close("</a>"), text, range(9)) == (None, rest)


def test_where_a_literal_is_expected_the_end_is_told_from_another_text() -> None:
    for text, error in (("", "EndedError"), (" ", "EndedError"), ("b", "MalformedError")):
        assert read(lambda reader: reader.expect("a"), text)[0] == error


@given(text=TEXTS, cuts=CUTS, most=st.none() | st.integers(0, 8))
def test_until_is_the_same_in_any_pieces(text: str, cuts: list[int], most: int | None) -> None:
    def reading(reader: Reader) -> Wait[tuple[str, str]]:
        return reader.until(["ab", "b", "]a"], most)

    whole = read(reading, text)
    assert read(reading, text, cuts) == whole
    found = re.search("ab|b|]a", text)
    if isinstance(whole[0], tuple):
        assert found is not None
        assert whole[0] == (text[: found.start()], found[0])
        assert most is None or found.start() <= most
    else:
        assert found is None or (most is not None and found.start() > most)


@given(value=VALUES, cuts=CUTS, tail=st.sampled_from(["", ",", "}", " x", "]"]))
def test_a_json_value_is_read_as_it_is_written(value: Any, cuts: list[int], tail: str) -> None:
    text = json.dumps(value, ensure_ascii=False)
    for told in (read(_raw, text + tail, cuts), read(_raw, text + tail, range(200))):
        assert told == (text, tail)


@given(text=TEXTS, cuts=CUTS)
def test_any_text_is_read_to_an_end_and_alike(text: str, cuts: list[int]) -> None:
    for reading in (_raw, lambda reader: reader.string(), lambda reader: reader.skip_space()):
        assert read(reading, text, cuts) == read(reading, text, range(len(text)))


def _raw(reader: Reader) -> Wait[str]:
    parts: list[str] = []
    yield from reader.raw_value(parts.append)
    return "".join(parts)


def test_white_space_of_a_literal_is_read_exactly() -> None:
    assert read(lambda reader: reader.skip_exactly("\n\n"), "\n a") == (None, " a")
    assert read(lambda reader: reader.skip_exactly("\n\n"), "\n\n\na") == (None, "\na")
    assert read(lambda reader: reader.skip_exactly("\n\n"), "\n") == (None, "")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("<e>x", (True, "x")), ("<ex", (False, "<ex")), ("<e", (False, "<e")), ("", (False, ""))],
)
def test_a_text_begins_with_a_literal_or_not(text: str, wanted: tuple[bool, str]) -> None:
    for cuts in ((), range(len(text))):
        assert read(lambda reader: reader.begins("<e>"), text, cuts) == wanted


def test_the_end_in_the_middle_is_an_error_of_its_own() -> None:
    assert issubclass(EndedError, MalformedError)
    assert read(_raw, '{"a')[0] == "EndedError"
    assert read(lambda reader: reader.peek(), "")[0] == "EndedError"
