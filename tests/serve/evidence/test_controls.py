"""The control map: every row says what is not covered, and names parts that exist."""

from __future__ import annotations

import json

from serve.evidence.controls import FRAMEWORKS, controls, rows
from serve.evidence.part import Part, missing

PARTS = {"settings", "doctor", "software", "models", "audit", "egress"}


def test_every_row_is_whole() -> None:
    seen = set()
    for row in rows():
        assert row.framework in FRAMEWORKS
        assert (row.framework, row.control) not in seen
        seen.add((row.framework, row.control))
        assert set(row.evidence) <= PARTS
        assert row.met_by.endswith(".")
        assert row.not_covered.endswith(".")
        assert "|" not in row.subject + row.met_by + row.not_covered


def test_evidence_that_is_missing_is_said_at_its_control() -> None:
    there = [Part(name=name, state="whole", summary="") for name in PARTS - {"egress"}]
    part = controls([*there, missing("egress", "no trace")])
    documents = json.loads(part.files["controls.json"])["controls"]
    lacking = {row["control"] for row in documents if row["evidence_missing"]}
    assert lacking == {row.control for row in rows() if "egress" in row.evidence}
    assert "egress (missing)" in part.files["controls.md"].decode()
