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
