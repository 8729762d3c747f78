"""Gates, the JSON, the tables, the picture, and what `models show` makes of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from benchmarks.quality import report as reports
from models import reports as stored_reports
from models.__main__ import main as models_main
from models.trust.manifest import Manifest
from tests.benchmarks.quality.reports import DIGEST, report
from tests.models.folders import whole


def test_the_tables_and_the_json_say_the_same():
    console = Console(file=io.StringIO(), width=120)
    for each in reports.tables(report()):
        console.print(each)
    text = console.file.getvalue()
    for part in ("8.25", "96/100", "99.00%", "1 min 01 s", "a.weight", "8.24", "3 ms"):
        assert part in text
    found = json.loads(reports.as_json(report()))
    assert found["schema"] == "intramural.quality/1"
    assert found["agreement"]["all"]["top1"] == 0.99
    assert found["agreement"]["all"]["kl"]["mean"] == 1e-3


def test_show_tells_of_the_report(tmp_path, capsys):
    folder = whole(tmp_path / "models" / "m--int8")
    manifest = Manifest.build(folder)
    manifest.write(folder)
    path = stored_reports.path_of(tmp_path, "m--int8")
    path.parent.mkdir()
    made = report()
    own = replace(made, quantised=replace(made.quantised, digest=manifest.digest))
    path.write_text(reports.as_json(own))
    words = ["show", "m--int8", "--data-dir", str(tmp_path)]
    assert models_main(words) == 0
    out = capsys.readouterr().out
    assert "top-1 99.00%, KL 1.00e-03, perplexity x 1.5000, 8.25 bits per weight" in out
    assert "other bytes" not in out
    path.write_text(reports.as_json(replace(made, failed=("x: bad",))))
    assert models_main(words) == 0
    out = capsys.readouterr().out
    assert "FAILED: x: bad" in out
    assert "of other bytes than are here now" in out
    assert models_main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quality"]["failed_gates"] == ["x: bad"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"agreement": {}}', '{"agreement": 3, "quantised": 1}']
)
def test_a_damaged_report_is_none(tmp_path, text):
    path = stored_reports.path_of(tmp_path, "m")
    assert stored_reports.summary(tmp_path, "m", DIGEST) is None
    path.parent.mkdir()
    path.write_text(text)
    assert stored_reports.summary(tmp_path, "m", DIGEST) is None
