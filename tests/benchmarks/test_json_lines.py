"""Files of JSON lines, each named with the line that is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.json_lines import last, rows, text_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.jsonl"


def test_lines_have_their_numbers_and_empty_ones_are_passed_over(path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbf{"a": "\xe2\x80\xa8"}\r\n\n{"b": 2}')
    assert list(rows(path)) == [(1, {"a": "\u2028"}), (3, {"b": 2})]


@pytest.mark.parametrize("line", ["no", "[1]", "null", "[" * 100_000])
def test_a_line_that_is_no_object_is_named(path: Path, line: str) -> None:
    path.write_text('{"a": 1}\n' + line)
    with pytest.raises(ValueError, match=r"f\.jsonl, line 2, is no JSON"):
        list(rows(path))


def test_the_last_line_is_taken_after_what_was_printed_before(path: Path) -> None:
    path.write_text('a table\n{"a": 1}\n\n')
    assert last(path) == {"a": 1}
    for text in ("", "a table\n", "[" * 100_000):
        path.write_text(text)
        assert last(path) is None


def test_what_is_no_text_is_named_and_not_waited_for(path: Path) -> None:
    with pytest.raises(ValueError, match=r"/dev/zero cannot be read: .* a device"):
        text_of(Path("/dev/zero"))
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"f\.jsonl cannot be read: is not UTF-8"):
        text_of(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"f\.jsonl cannot be read: .* a pipe"):
        text_of(path)
