"""Progress on stderr, with the time that is left."""

from __future__ import annotations

import io

from benchmarks.report.steps import Steps


def test_progress_says_how_much_time_is_left() -> None:
    now = iter([0.0, 0.0, 10.0, 20.0, 30.0])
    stream = io.StringIO()
    steps = Steps(5, stream=stream, clock=lambda: next(now))
    steps.begin("one")
    steps.fewer(1)
    steps.begin("two")
    steps.begin("three")
    steps.end()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "  1 of 5  one"
    assert lines[1] == "  2 of 4  two  (0 s left)"
    assert lines[2] == "  3 of 4  three  (10 s left)"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_line_takes_the_place_of_the_one_before() -> None:
    stream = Terminal()
    steps = Steps(2, stream=stream, clock=lambda: 0.0)
    steps.begin("one")
    steps.note("one, loading")
    steps.end()
    text = stream.getvalue()
    assert "\n" not in text
    assert text.count("\r\x1b[K") == 3
    assert "  1 of 2  one, loading" in text


def test_a_note_is_no_step() -> None:
    stream = io.StringIO()
    steps = Steps(2, stream=stream, clock=lambda: 0.0)
    steps.begin("one")
    steps.note("more")
    steps.begin("two")
    assert [line[:10] for line in stream.getvalue().splitlines()] == [
        "  1 of 2  ",
        "  1 of 2  ",
        "  2 of 2  ",
    ]
