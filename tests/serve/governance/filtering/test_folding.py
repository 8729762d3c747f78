"""Folding: what is the same to the rules, and where it stands in the text."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.governance.filtering.folding import Folder, folded, is_word_char


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("BaD", "bad"),
        ("ＢＡＤ", "bad"),
        ("b\u200ba\u00add", "bad"),
        ("ﬁne", "fine"),
        ("Straße", "strasse"),
        ("İSTANBUL", "istanbul"),
        ("坏人", "坏人"),
        ("⑴", "(1)"),
        ("b\ufe0fad", "bad"),
        ("\ud800", "\ufffd"),
    ],
)
def test_what_is_the_same(text: str, told: str) -> None:
    assert folded(text) == told
    assert Folder().feed(text)[0] == told


def test_each_character_knows_its_place() -> None:
    assert Folder().feed("aﬁ\u200bＢ") == ("afib", [0, 1, 1, 3])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (r"\u0062ad", "bad"),
        (r"a\nb", "a\nb"),
        (r"\\u0062", "\\u0062"),
        (r"\u574f\u4eba", "坏人"),
        (r"\"", '"'),
        ("\\", "\\"),
        (r"\u00", "u00"),
    ],
)
def test_escapes_of_json(text: str, told: str) -> None:
    assert Folder(has_escapes=True).feed(text, is_last=True)[0] == told


def test_an_escape_stands_where_it_begins() -> None:
    assert Folder(has_escapes=True).feed(r"x\u0062y") == ("xby", [0, 1, 7])


@given(
    text=st.text(alphabet='\\u0062aBﬁ\u200b"n坏', max_size=16),
    cuts=st.lists(st.integers(0, 16), max_size=4),
    has_escapes=st.booleans(),
)
def test_cuts_do_not_matter(text: str, cuts: list[int], has_escapes: bool) -> None:
    whole = Folder(has_escapes=has_escapes)
    expected = whole.feed(text, is_last=True)
    folder = Folder(has_escapes=has_escapes)
    told, places = "", []
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for start, end in itertools.pairwise(edges):
        piece, own = folder.feed(text[start:end])
        told += piece
        places += own
    piece, own = folder.feed("", is_last=True)
    assert (told + piece, places + own) == expected
    assert folder.num_folded == whole.num_folded == len(text)


def test_what_goes_on_with_a_word() -> None:
    assert all(map(is_word_char, "aé9_\u0301я"))
    assert not any(map(is_word_char, " ,.坏あ가-"))
