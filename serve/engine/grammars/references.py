"""Checks of what a JSON schema makes of itself: circles without an end, and joined patterns."""

from __future__ import annotations

from typing import Any

from serve.engine.grammars import bounds
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


def check_patterns(schema: Any) -> None:
    """Refuse a schema that joins many patterns by ``allOf``.

    Raises:
        GrammarRefused: more than are taken, or more ways through references than are followed.
    """
    num_left = bounds.MAX_REFERENCES
    for path, part in subschemas(schema):
        if "allOf" not in part:
            continue
        patterns: set[str] = set()
        seen: set[int] = set()
        waiting: list[Any] = [part]
        while waiting:
            node = waiting.pop()
            if not isinstance(node, dict) or id(node) in seen:
                continue
            seen.add(id(node))
            num_left -= 1
            if num_left < 0:
                raise GrammarRefused(f"{path} joins too much by allOf. Write it out.")
            for name in ("pattern", "format"):
                if isinstance(node.get(name), str):
                    patterns.add(node[name])
            for name in ("allOf", "anyOf", "oneOf"):
                waiting += node[name] if isinstance(node.get(name), list) else []
            if isinstance(node.get("$ref"), str):
                waiting.append(resolve(schema, node["$ref"]))
        if len(patterns) > bounds.MAX_INTERSECTIONS:
            raise GrammarRefused(
                f"{path} joins {len(patterns)} patterns and formats by allOf; at most "
                f"{bounds.MAX_INTERSECTIONS} are taken."
            )
