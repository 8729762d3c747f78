"""JSON schemas on their way to llguidance: bounded, closed where they are to be, freed of notes.

What llguidance does not know, it refuses, and so do we. Two things are ours to decide: a ``format``
that it does not know is dropped, for to JSON Schema it is a note; and an object is closed where the
grammar says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from serve.engine.grammars import bounds, references
from serve.engine.grammars.joined_patterns import JoinCheck
from serve.engine.grammars.refusal import GrammarRefused
from serve.engine.grammars.subschemas import JsonObject, resolve, subschemas

KNOWN_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"}
)
"""Formats that completions are held to."""
OPTIONS = frozenset(
    {
        "coerce_one_of",
        "item_separator",
        "key_separator",
        "whitespace_flexible",
        "whitespace_pattern",
    }
)
"""What a schema may say under ``x-guidance``. Not ``lenient``, which would ignore keywords."""

_REPEATS = ("minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains")


def read(text: str) -> Any:
    """The schema of a text, within the bounds.

    Raises:
        GrammarRefused: it is not JSON, or too large in one way or another.
    """
    try:
        schema = json.loads(text)
    except RecursionError:
        raise GrammarRefused(_TOO_DEEP) from None
    except ValueError as error:
        raise GrammarRefused(f"The schema is not JSON: {error}.") from None
    if not isinstance(schema, (dict, bool)):
        raise GrammarRefused("The schema is neither an object nor true or false.")
    _check_depth(schema)
    for path, part in subschemas(schema):
        _check(path, part)
    references.check_circles(schema)
    _check_pairs(schema)
    joins = JoinCheck(_targets(schema), KNOWN_FORMATS)
    for path, part in subschemas(schema):
        joins.check(path, part)
    return schema


_TOO_DEEP = f"The schema is nested more than {bounds.MAX_DEPTH} levels deep. Make it flatter."


def _check_depth(schema: Any) -> None:
    level, depth = [schema], 0
    while level:
        if depth > bounds.MAX_DEPTH:
            raise GrammarRefused(_TOO_DEEP)
        depth += 1
        level = [child for node in level for child in _children(node)]


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _check(path: str, schema: JsonObject) -> None:
    for name in ("properties", "patternProperties", "required"):
        size = len(value) if isinstance(value := schema.get(name), (dict, list)) else 0
        if size > bounds.MAX_PROPERTIES:
            raise GrammarRefused(
                f"{path} has {size} {name}; at most {bounds.MAX_PROPERTIES} are taken. "
                "Split the object."
            )
    for name in _REPEATS:
        value = schema.get(name)
        if isinstance(value, (int, float)) and value > bounds.MAX_REPEATS:
            raise GrammarRefused(
                f"{path} has {name} {str(value)[:20]}; at most {bounds.MAX_REPEATS} is taken."
            )
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and len(pattern) > bounds.MAX_REGEX:
        raise GrammarRefused(
            f"{path} has a pattern of {len(pattern)} characters; at most {bounds.MAX_REGEX} "
            "are taken."
        )
    _check_options(path, schema.get("x-guidance"))


def _check_pairs(schema: Any) -> None:
    """Refuse patternProperties of which too many have to be compared with each other."""
    num_pairs = 0
    for path, part in subschemas(schema):
        patterns = part.get("patternProperties")
        num_patterns = len(patterns) if isinstance(patterns, dict) else 0
        num_pairs += num_patterns * (num_patterns - 1) // 2
        if num_pairs > bounds.MAX_PATTERN_PAIRS:
            raise GrammarRefused(
                f"{path} has {num_patterns} patternProperties, with which the schema has "
                f"{num_pairs} pairs of patterns to compare; at most {bounds.MAX_PATTERN_PAIRS} are "
                "taken. Name fewer."
            )


def _targets(schema: Any) -> dict[str, Any]:
    """The schema that each reference names, by the reference."""
    found: dict[str, Any] = {}
    for _, part in subschemas(schema):
        name = part.get("$ref")
        if isinstance(name, str) and name not in found:
            found[name] = resolve(schema, name)
    return found


def _check_options(path: str, options: object) -> None:
    if options is None:
        return
    if not isinstance(options, dict):
        raise GrammarRefused(f'{path} has an "x-guidance" that is no object.')
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise GrammarRefused(
            f'{path} has "x-guidance" with {unknown[0][:40]!r}; there are '
            f"{', '.join(sorted(OPTIONS))}."
        )


def prepared(schema: Any, *, is_closed: bool) -> Any:
    """The schema as llguidance is to see it. Changes it in place where it is an object.

    Args:
        schema: from ``read``.
        is_closed: close every object that names properties and says nothing of others. Not one of
            several that an ``allOf`` joins: each would forbid what the others name.
    """
    joined = _joined(schema) if is_closed else set()
    for _, part in subschemas(schema):
        if isinstance(part.get("format"), str) and part["format"] not in KNOWN_FORMATS:
            del part["format"]
        names_properties = any(
            isinstance(part.get(name), dict) for name in ("properties", "patternProperties")
        )
        is_open = "additionalProperties" not in part and "unevaluatedProperties" not in part
        if is_closed and names_properties and is_open and id(part) not in joined:
            part["additionalProperties"] = False
    return schema


def _joined(schema: Any) -> set[int]:
    """Identities of the schemas that an ``allOf`` joins with others, by reference or in place."""
    joined: set[int] = set()
    for _, part in subschemas(schema):
        members = part.get("allOf")
        if isinstance(members, list) and (len(members) > 1 or "properties" in part):
            if members:
                joined.add(id(part))
            for member in members:
                joined.add(id(member))
                if isinstance(member, dict) and isinstance(member.get("$ref"), str):
                    joined.add(id(resolve(schema, member["$ref"])))
    return joined
