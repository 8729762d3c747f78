"""An extraction, and two schemas for it: one of which little is forced, one of which much is."""

from __future__ import annotations

from typing import Any

PROMPT = """<|im_start|>user
Extract every person from the text as JSON.

Anna Keller, 34, is a nurse in Bern and plays chess. Her brother Jonas Keller, 41, drives a bus in
Thun and paints. Their neighbour Miriam Oduya, 29, teaches physics in Bern and rows on the lake.
Paul Steiner, 63, retired from the post in Biel, keeps bees.<|im_end|>
<|im_start|>assistant
"""


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_PERSON = _object(
    {
        "name": {"type": "string", "maxLength": 40},
        "summary": {"type": "string", "minLength": 60, "maxLength": 160},
    }
)
_RECORD = _object(
    {
        "family_name": {"type": "string", "maxLength": 20},
        "given_name": {"type": "string", "maxLength": 20},
        "age_in_years": {"type": "integer", "minimum": 0, "maximum": 120},
        "place_of_residence": {"type": "string", "maxLength": 20},
        "current_occupation": {"type": "string", "maxLength": 20},
        "is_retired": {"type": "boolean"},
    }
)


def _people(person: dict[str, Any], count: int) -> dict[str, Any]:
    people = {"type": "array", "items": person, "minItems": count, "maxItems": count}
    return _object({"people": people})


def schemas(num_people: int) -> dict[str, Any]:
    """The schemas by name, for so many people."""
    return {"texts": _people(_PERSON, num_people), "records": _people(_RECORD, num_people)}
