"""The part of /openapi.json that a report's route adds: its two forms and its query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from serve.api.openai.schemas import PROBLEM

_TEXT: Final[Mapping[str, Any]] = {"type": "string"}
_DAY: Final[Mapping[str, Any]] = {"type": "string", "format": "date"}


def described_report(
    tag: str,
    shape: type[BaseModel],
    example: Mapping[str, Any],
    parameters: Mapping[str, str],
    *,
    most: int,
    meaning: str | None = None,
    csv_example: str | None = None,
) -> dict[str, Any]:
    """A report as JSON, or as CSV.

    Args:
        example: of the shape.
        parameters: of the query, by name, and their meanings.
        most: rows of a page; the bound of ``limit``.
        meaning: of the answer.
    """
    csv_form: dict[str, Any] = {"schema": _TEXT}
    if csv_example is not None:
        csv_form["example"] = csv_example
    answer: dict[str, Any] = {
        "model": shape,
        "content": {"application/json": {"example": example}, "text/csv": csv_form},
    }
    if meaning is not None:
        answer["description"] = meaning
    return {
        "tags": [tag],
        "responses": {200: answer, "4XX": PROBLEM, "5XX": PROBLEM},
        "parameters": [_parameter(name, text, most) for name, text in parameters.items()],
    }


def _parameter(name: str, meaning: str, most: int) -> dict[str, Any]:
    schemas: dict[str, Mapping[str, Any]] = {
        "limit": {"type": "integer", "minimum": 1, "maximum": most},
        "format": {"type": "string", "enum": ["json", "csv"]},
        "from": _DAY,
        "to": _DAY,
    }
    schema = dict(schemas.get(name, _TEXT))
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": meaning,
    }
