"""Values of arguments that are written as text, as JSON of the type that the tool asks for."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from typing import Any


def json_of(text: str, schema: Mapping[str, Any], key: str, *, is_quoted: bool) -> str:
    """The JSON of a value.

    Args:
        text: as the model wrote it.
        schema: of the tool's arguments.
        key: the argument's name.
        is_quoted: strings have quotes; one without them is none.
    """
    if not is_quoted and _is_text(schema, key):
        return json.dumps(text, ensure_ascii=False)
    stripped = text.strip()
    try:
        value = json.loads(stripped, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = _literal(stripped, text)
    return json.dumps(value, ensure_ascii=False)


def _is_text(schema: Mapping[str, Any], key: str) -> bool:
    """Whether the tool asks for a string, and nothing else, under this key."""
    properties = schema.get("properties")
    declared = properties.get(key) if isinstance(properties, Mapping) else None
    kind = declared.get("type") if isinstance(declared, Mapping) else None
    return kind in ("string", ["string"])


def _literal(stripped: str, text: str) -> Any:
    """A value in Python's words; else the text itself."""
    try:
        value = ast.literal_eval(stripped)
        json.dumps(value, allow_nan=False)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return text
    return value


def _refuse(_word: str) -> Any:
    raise ValueError
