"""One message from one line or several. Editing itself is seen on a terminal: test_command.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serve.cli.chat.line_editor import FIRST, MORE, read_message


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["one"], "one"),
        (["one\\", "two\\", "three"], "one\ntwo\nthree"),
        (['"""one', "", "two\\", 'three"""'], "one\n\ntwo\\\nthree"),
        (['"""', "  indented", '"""'], "  indented"),
        (['"""all of it"""'], "all of it"),
        (['say """this"""'], 'say """this"""'),
        (["pasted\nlines"], "pasted\nlines"),
        ([""], ""),
    ],
)
def test_lines_make_a_message(lines: list[str], message: str) -> None:
    given: Iterator[str] = iter(lines)
    prompts: list[str] = []

    def read_line(prompt: str) -> str:
        prompts.append(prompt)
        return next(given)

    assert read_message(read_line) == message
    assert next(given, None) is None
    assert prompts == [FIRST, *[MORE] * (len(lines) - 1)]
