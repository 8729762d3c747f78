"""Words for a terminal: moments, and progress that leaves stdout alone."""

from __future__ import annotations

import pytest

from serve.cli.audit import printing


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_796_000_400.9, "2026-11-30T01:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
    ],
)
def test_a_moment_is_in_utc_to_the_second(time_s, text):
    assert printing.moment(time_s) == text


def test_progress_is_a_line_now_and_then_on_stderr(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(printing.time, "monotonic", lambda: now[0])
    with printing.progress("verifying llm-0") as told:
        for second, done in enumerate(range(0, 12_000, 1000), 1):
            now[0] = float(second)
            told(done, 12_000)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "verifying llm-0: 4,000 of 12,000 entries",
        "verifying llm-0: 9,000 of 12,000 entries",
    ]


def test_a_remark_is_not_a_result(capsys):
    printing.remark("held to [the] key")
    assert capsys.readouterr() == ("", "held to [the] key\n")
