"""All models of a run in one table."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from benchmarks.quality import table
from benchmarks.quality.sequences import Score
from tests.benchmarks.quality.reports import report


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
