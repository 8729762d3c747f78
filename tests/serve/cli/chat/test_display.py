"""An answer on a terminal while it comes: the same in the end, whatever its pieces."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from serve.cli.chat.display import MarkdownDisplay, NoDisplay, PlainDisplay, harmless
from tests.terminal import rows_of

SOURCE = """# Title
Some **bold** text, a long paragraph that is wrapped.

1. one
2. two

```python
def f():
    return 1
```

| a | b |
|---|---|
| 1 | 2 |

The end.
"""


def shown(parts: list[str], *, seconds_a_part: float = 1.0) -> tuple[list[str], str]:
    """The rows in the end, and all that was written."""
    file = io.StringIO()
    console = Console(file=file, width=30, height=24, force_terminal=True)
    now = [0.0]
    display = MarkdownDisplay(console, clock=lambda: now[0])
    for part in parts:
        display.add(part)
        now[0] += seconds_a_part
    display.end()
    return rows_of(file.getvalue()), file.getvalue()


@pytest.mark.parametrize("size", [5, 7, 19])
def test_any_pieces_end_as_the_same_rows(size: int) -> None:
    parts = [SOURCE[begin : begin + size] for begin in range(0, len(SOURCE), size)]
    assert shown(parts)[0] == shown([SOURCE])[0]


def test_a_character_at_a_time_too() -> None:
    rows, written = shown(list(SOURCE))
    assert rows == shown([SOURCE])[0]
    assert rows[:4] == ["# Title", "", "Some bold text, a long", "paragraph that is wrapped."]
    assert written.count("Title") == 1, "what is finished is not drawn again"


def test_pieces_that_come_at_once_are_painted_together() -> None:
    _, slow = shown(list("a long answer"))
    _, fast = shown(list("a long answer"), seconds_a_part=0.001)
    assert fast.count("\n") < slow.count("\n")
    assert rows_of(fast) == rows_of(slow)


@pytest.mark.parametrize(
    ("text", "pictures"),
    [
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("\x9b2J\x7f\ud83d", "�2J␡�"),
        ("👩‍💻 می‌روم", "👩‍💻 می‌روم"),
    ],
)
def test_an_answer_cannot_steer_the_terminal(text: str, pictures: str) -> None:
    assert harmless(text) == pictures
    file = io.StringIO()
    for display in (
        PlainDisplay(file, is_terminal=True),
        MarkdownDisplay(Console(file=file, width=80, force_terminal=True, no_color=True)),
    ):
        display.add(text)
        display.end()
    assert not set(text) & set(file.getvalue()) & set("\x07\x9b\x7f\ud83d")
    assert "\x1b]" not in file.getvalue()


@pytest.mark.parametrize("parts", [[], ["x"]])
def test_what_shows_that_an_answer_is_waited_for_is_gone_in_the_end(parts: list[str]) -> None:
    file = io.StringIO()
    display = MarkdownDisplay(Console(file=file, width=80, force_terminal=True))
    display.begin()
    assert rows_of(file.getvalue()) == ["…", ""]
    for part in parts:
        display.add(part)
    display.end()
    assert rows_of(file.getvalue()) == [*parts, ""]


def test_a_program_gets_the_text_as_it_is() -> None:
    file = io.StringIO()
    display = PlainDisplay(file)
    display.begin()
    display.end()
    assert file.getvalue() == ""
    for part in ("**a**\x1b", "[1m\n"):
        display.add(part)
    display.end()
    assert file.getvalue() == "**a**\x1b[1m\n", "and no second line feed"


def test_nothing_is_shown_where_nothing_shall_be(capsys: pytest.CaptureFixture[str]) -> None:
    display = NoDisplay()
    display.begin()
    display.add("x")
    display.end()
    assert capsys.readouterr().out == ""
