"""Texts as detectors read them, with the places of their characters."""

from __future__ import annotations

import pytest

from serve.governance.masking.normalised import (
    normalise,
    num_finished,
    num_quotes,
    said,
    table,
    written,
)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("１３８ＡＢ＠", "138AB@"),
        ("1\u200b3\u00ad8", "138"),
        ("\U0001d7cf\U0001d7d1", "13"),
        ("٣٤", "34"),
        ("a\u3000b\u2013c", "a b-c"),
        ("1\u20282\u20293\x85", "1\n2\n3\n"),
        (r"\n138\u7535\uff11\t", "\n138电1\t"),
        (r"\ud835\udfd6 \ud835", "8 \ufffd"),
        ("①²", "①²"),
    ],
)
def test_readings(text: str, reading: str) -> None:
    found = normalise(text)
    assert found.text == reading
    for at in range(len(reading)):
        piece = text[found.start(at) : found.end(at + 1)]
        assert normalise(piece).text == reading[at]


def test_a_character_is_read_alike_wherever_it_stands() -> None:
    for code, reading in table().items():
        assert normalise(chr(code)).text == (reading or "")


def test_json_is_read_without_its_quotes() -> None:
    found = normalise(r'{"a": "x\"1"}', is_json=True)
    assert found.text == '{\na\n: \nx"1\n}'
    assert num_quotes(r'{"a": "x\"1"}') == 4


@pytest.mark.parametrize(
    ("text", "num_left"),
    [("a", 0), ("\\", 1), ("\\\\", 0), ("\\u12", 4), (r"\ud835", 6), (r"\ud835\ud", 9), (r"\n", 0)],
)
def test_an_escape_that_breaks_off_waits(text: str, num_left: int) -> None:
    assert num_finished(text) == len(text) - num_left


def test_json_strings_say_and_write() -> None:
    assert said(r"a\"\u4f60") == 'a"你'
    assert said("\\") == "\\"
    assert written('a"\n你') == r"a\"\n你"
