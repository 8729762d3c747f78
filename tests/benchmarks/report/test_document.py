"""A report keeps its schema and is read back as it was; other files are refused by name."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from benchmarks.report.document import Document, DocumentError, doubts
from tests.benchmarks.documents import SCHEMA, compared, document, level_row, prefill_row

SWEEP = document([level_row("poisson 1/s", 1.0), level_row("poisson 2/s", 2.0)], kind="serving")


@pytest.mark.parametrize("report", [compared(), SWEEP], ids=["compare", "serving"])
def test_the_json_keeps_its_schema_and_is_read_back(report: Document, tmp_path: Path) -> None:
    text = report.to_json()
    jsonschema.validate(json.loads(text), SCHEMA)
    path = tmp_path / "kept.txt"
    path.write_text(f"a table\nanother line\n{text}\n")
    again = Document.read(path)
    assert again.to_json() == text
    assert again.roofline == report.roofline


def test_another_form_breaks_the_schema() -> None:
    for name, value in (("kind", "guess"), ("rows", [{}]), ("schema", "other/1")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(compared().to_json()) | {name: value}, SCHEMA)


@pytest.mark.parametrize("text", ["", "{}", "[]", "no json", '{"schema": "intramural.quality/1"}'])
def test_another_file_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(DocumentError, match=re.escape(str(path))):
        Document.read(path)


def test_a_report_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    fields = json.loads(compared().to_json())
    del fields["rows"]
    path = tmp_path / "cut.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(DocumentError, match="not a whole report"):
        Document.read(path)


def test_more_than_the_machine_can_do_is_doubted() -> None:
    possible, impossible = prefill_row(), prefill_row("too fast")
    samples = {"mfu": [1.2, 1.4]}
    assert doubts([possible]) == []
    (doubt,) = doubts([possible, replace(impossible, samples=samples)])
    assert "too fast" in doubt
    assert "MFU is above 1" in doubt
