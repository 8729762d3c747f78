"""The table and the JSON of a run."""

from __future__ import annotations

import io
import json

from rich.console import Console

from benchmarks.agent import report
from benchmarks.agent.report import Result
from tests.benchmarks.agent.test_reuse import turn

SLOW = Result("slow", [[turn(n, total_s=2.0) for n in (1, 2, 3)]])
FAST = Result(
    "fast", [[turn(n, total_s=t, cached_tokens=None) for n in (1, 2, 3)] for t in (0.5, 1.0, 0.7)]
)


def test_medians_are_over_rounds():
    assert FAST.samples["total_s"] == [1.5, 3.0, 2.0999999999999996]
    assert FAST.medians["total_s"] == 2.0999999999999996
    assert FAST.medians["share_reused"] is None
    assert SLOW.medians["share_reused"] == 0


def test_the_table_has_the_quickest_first_and_no_row_for_what_failed():
    text = io.StringIO()
    shown = report.table("m", [SLOW, FAST, Result("absent")])
    Console(file=text, width=150).print(shown)
    lines = text.getvalue().splitlines()
    places = [number for number, line in enumerate(lines) if line.startswith((" fast", "  fast"))]
    slow = [number for number, line in enumerate(lines) if line.startswith((" slow", "  slow"))]
    assert places < slow
    assert "absent" not in text.getvalue()
    assert "0.00%" in text.getvalue()


def test_json_has_every_turn():
    line = report.as_json("m", ["agent", "m"], {"turns": 3}, [SLOW, Result("absent")], ["a note"])
    document = json.loads(line)
    assert document["schema"] == report.SCHEMA
    assert document["command"] == "python -m benchmarks agent m"
    slow, absent = document["systems"]
    assert [one["number"] for one in slow["rounds"][0]] == [1, 2, 3]
    assert slow["medians"]["total_s"] == 6
    assert (absent["rounds"], absent["medians"]) == ([], {})
    assert document["notes"] == ["a note"]
