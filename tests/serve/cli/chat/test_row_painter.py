"""Rows on a terminal: what stands there in the end, and how little is written."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from serve.cli.chat.row_painter import RowPainter
from tests.terminal import rows_of

FRAMES = st.lists(st.lists(st.sampled_from(["", "a", "b", "abc"]), max_size=4), max_size=4)


@given(FRAMES)
def test_what_was_painted_last_stands_there(frames: list[list[str]]) -> None:
    out = io.StringIO()
    painter = RowPainter(out, lambda: 24)
    for rows in frames:
        painter.paint(rows)
        assert rows_of(out.getvalue()) == [*rows, ""]


def test_only_rows_that_differ_are_written() -> None:
    out = io.StringIO()
    painter = RowPainter(out, lambda: 24)
    painter.paint(["first", "second"])
    out.truncate(0)
    painter.paint(["first", "second"])
    assert out.getvalue().strip("\0") == ""
    painter.paint(["first", "second and more"])
    assert "first" not in out.getvalue()


def test_what_is_released_stays_above() -> None:
    out = io.StringIO()
    painter = RowPainter(out, lambda: 24)
    painter.paint(["done", "open"])
    painter.release(1)
    painter.paint(["open and more", "below"])
    assert rows_of(out.getvalue()) == ["done", "open and more", "below", ""]


def test_rows_that_left_the_screen_are_not_reached_for() -> None:
    out = io.StringIO()
    painter = RowPainter(out, lambda: 3)
    painter.paint(["1", "2", "3", "4"])
    painter.paint(["one", "2", "3", "four", "five"])
    assert rows_of(out.getvalue()) == ["1", "2", "3", "four", "five", ""]
    assert "\x1b[2A" in out.getvalue(), "of three rows the last one is the cursor's"
    painter.paint(["1"])
    assert rows_of(out.getvalue())[:3] == ["1", "2", "3"]
