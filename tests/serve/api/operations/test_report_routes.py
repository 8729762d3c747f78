"""What /openapi.json says of a report: both forms, and the bounds of its query."""

from __future__ import annotations

from serve.api.openai.schemas import Reply
from serve.api.operations.report_routes import described_report


class Page(Reply):
    rows: int


def described(**more):
    names = {"from": "a day", "limit": "rows", "format": "json or csv", "model": "of this model"}
    return described_report("things", Page, {"rows": 1}, names, most=7, **more)


def test_a_report_has_two_forms():
    answer = described()["responses"][200]
    assert answer["model"] is Page
    assert answer["content"]["application/json"] == {"example": {"rows": 1}}
    assert answer["content"]["text/csv"] == {"schema": {"type": "string"}}
    assert "description" not in answer


def test_what_is_told_of_a_form_is_there():
    answer = described(meaning="Things.", csv_example="rows\r\n1\r\n")["responses"][200]
    assert answer["description"] == "Things."
    assert answer["content"]["text/csv"]["example"] == "rows\r\n1\r\n"


def test_each_parameter_has_its_bounds_and_meaning():
    found = described()
    assert found["tags"] == ["things"]
    schemas = {each["name"]: each["schema"] for each in found["parameters"]}
    assert schemas == {
        "from": {"type": "string", "format": "date"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 7},
        "format": {"type": "string", "enum": ["json", "csv"]},
        "model": {"type": "string"},
    }
    assert {each["in"] for each in found["parameters"]} == {"query"}
    assert not any(each["required"] for each in found["parameters"])
    assert found["parameters"][3]["description"] == "of this model"
