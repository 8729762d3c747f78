"""All models of a run in one table."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from benchmarks.quality import table
from benchmarks.quality.sequences import Score
from tests.benchmarks.quality.reports import agreement, report


def test_the_table_of_several_models():
    rows = [table.of_report(report()), table.of_report(report("int4", kl=0.0321))]
    rows += [replace(rows[0], system="llama.cpp", name="q8_0", evaluation=None, tokens_s=None)]
    console = Console(file=io.StringIO(), width=160)
    console.print(table.table("base", rows, Score(right=96, items=100)))
    text = console.file.getvalue()
    for part in ("against base", "96/100", "0.0321", "llama.cpp", "q8_0", "99.0%", "× 1.5000"):
        assert part in text
    found = json.loads(table.as_json("base", rows))
    assert found["schema"] == "intramural.quality-table/1"
    assert [row["name"] for row in found["rows"]] == ["m (int8)", "m (int4)", "q8_0"]
    assert found["rows"][1]["agreement"]["all"]["kl"]["mean"] == 0.0321


def test_a_row_has_the_speed_of_one_stream_where_it_was_measured():
    quick = report()
    assert table.of_report(quick).tokens_s == 4.0
    other = replace(quick, quantised=replace(quick.quantised, speed={}))
    assert table.of_report(other).tokens_s is None


def test_one_source_has_one_column_and_what_was_not_asked_a_dash():
    row = replace(table.of_report(report()), evaluation=None, tokens_s=None)
    shown = table.table("base", [row], None)
    assert [column.header for column in shown.columns] == [
        *("system", "weights", "size", "evaluation", "perplexity", "right", "tok/s")
    ]
    assert [next(iter(column.cells)) for column in shown.columns[-2:]] == ["-", "-"]
    more = replace(row, agreement={"english": agreement(0.9, 1e-2), **row.agreement})
    assert len(table.table("base", [more], None).columns) == 9


def test_the_json_leaves_histograms_to_the_reports():
    (row,) = json.loads(table.as_json("base", [table.of_report(report())]))["rows"]
    assert all("histogram" not in each for each in row["agreement"].values())


def test_a_row_that_fails_a_gate_is_red():
    good, bad = table.of_report(report()), replace(table.of_report(report()), failed=("x",))
    assert [row.style for row in table.table("b", [good, bad], None).rows] == ["", "red"]
