"""Shapes: what stays of a content, in whatever pieces it came."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.governance.presets.shaping import Cut, Shape, StripFence, StripWhitespace

TEXTS = st.lists(
    st.sampled_from(
        ["```", "json", "\n", " ", "`", "One.", "Two!", "好。", "”", "word", "\t", "x"]
    ),
    max_size=10,
).map("".join)
SHAPES: dict[str, Callable[[], Shape]] = {
    "fence": StripFence,
    "white space": StripWhitespace,
    "sentence": lambda: Cut(9, "sentence"),
    "word": lambda: Cut(9, "word"),
    "character": lambda: Cut(9, "character"),
}


def shaped(shape: Shape, pieces: list[str]) -> str:
    told = ""
    for piece in pieces:
        told += shape.feed(piece)
        if shape.is_over:
            return told
    return told + shape.finish()


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=40)
@given(text=TEXTS, cuts=st.lists(st.integers(0, 30), max_size=5))
def test_pieces_do_not_matter(name: str, text: str, cuts: list[int], is_proving: bool) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(edges)]
    whole = shaped(SHAPES[name](), [text])
    assert shaped(SHAPES[name](), pieces) == shaped(SHAPES[name](), list(text)) == whole
    assert whole == expected(name, text)


def expected(name: str, text: str) -> str:
    """By the whole text, in other words."""
    if name == "white space":
        return text.strip()
    if name == "fence":
        found = re.match(r"\s*```([^\n`]{0,64})\n", text)
        if found is None:
            return text
        body = "\n" + text[found.end() :]
        return re.sub(r"\n[ \t]*```\s*\Z", "", body, count=1)[1:]
    if len(text) <= 9:
        return text
    if name == "character":
        return text[:9]
    ends = [end for end in range(1, 10) if _ends(name, text, end)]
    return text[: max(ends, default=9)]


def _ends(name: str, text: str, end: int) -> bool:
    """Whether a sentence, or a word, ends before the character there."""
    before, behind = text[:end], text[end]
    if name == "word":
        return (not before[-1].isspace() and behind.isspace()) or before[-1] in "好。"
    if before[-1] == "\n":
        return True
    if behind == "”" or not (bare := before.rstrip("”")):
        return False
    return bare[-1] == "。" if behind not in " \n\t" else bare[-1] in ".!。"


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("```json\n{}\n```", "{}"),
        ("\n```\ncode\n```\n\n", "code"),
        ("```\ncode", "code"),
        ("`code`", "`code`"),
        ("```inline``` text", "```inline``` text"),
        ("say ```\nx\n```", "say ```\nx\n```"),
        ("```\n```", ""),
        ("```py\na\n```\nthen\n```py\nb\n```", "a\n```\nthen\n```py\nb"),
    ],
)
def test_fences(text: str, stays: str) -> None:
    assert shaped(StripFence(), list(text)) == stays


@pytest.mark.parametrize(
    ("text", "at", "stays"),
    [
        ("One. Two two two.", "sentence", "One."),
        ("“好。”然后还有很多话要说", "sentence", "“好。”"),
        ("3.14 is not over yet", "sentence", "3.14 is no"),
        ("One two three four", "word", "One two"),
        ("很多话要说很多话要说很多", "word", "很多话要说很多话要说"),
        ("One two three four", "character", "One two th"),
        ("Short.", "sentence", "Short."),
    ],
)
def test_cuts(text: str, at: str, stays: str) -> None:
    assert shaped(Cut(10, at), list(text)) == stays  # type: ignore[arg-type]


def test_a_sentence_is_told_when_it_is_over() -> None:
    shape = Cut(100, "sentence")
    assert shape.feed("One. Tw") == "One."
    assert shape.num_held == 3
    assert shape.feed("o. ") == " Two."
