"""Checks of what a JSON schema makes of itself: circles without an end."""

from __future__ import annotations

from typing import Any

from serve.engine.grammars.refusal import GrammarRefused
from serve.engine.grammars.subschemas import resolve, subschemas


def check_circles(schema: Any) -> None:
    """Refuse a schema that is only itself again. llguidance finds no way on, but late.

    Alternatives and what is joined are followed where there is but one of them: another alternative
    is a way out.

    Raises:
        GrammarRefused: no JSON is valid under a part.
    """
    ending: set[int] = set()
    for path, part in subschemas(schema):
        node: Any = part
        passed: set[int] = set()
        while isinstance(node, dict) and id(node) not in ending:
            if id(node) in passed:
                raise GrammarRefused(
                    f"{path} has a $ref that leads back to itself and to nothing else, so no JSON "
                    "is valid under it."
                )
            passed.add(id(node))
            node = _next(node, schema)
        ending |= passed


def _next(node: dict[str, Any], schema: Any) -> Any:
    if isinstance(node.get("$ref"), str):
        return resolve(schema, node["$ref"])
    for name in ("allOf", "anyOf", "oneOf"):
        members = node.get(name)
        if isinstance(members, list) and len(members) == 1:
            return members[0]
    return None
