"""The schemas within a JSON schema, and what a reference between them names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

JsonObject = dict[str, Any]

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_SINGLE = (
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)


def subschemas(schema: Any, path: str = "The schema") -> Iterator[tuple[str, JsonObject]]:
    """Each object that is a schema, the outermost first, with the words for where it stands."""
    waiting = [(path, schema)]
    while waiting:
        path, node = waiting.pop()
        if not isinstance(node, dict):
            continue
        yield path, node
        children: list[tuple[str, Any]] = []
        for name in _MAPS:
            if isinstance(value := node.get(name), dict):
                children += [(_at(path, name, key), child) for key, child in value.items()]
        for name in _LISTS:
            if isinstance(value := node.get(name), list):
                children += [(_at(path, name, str(i)), child) for i, child in enumerate(value)]
        for name in _SINGLE:
            if isinstance(value := node.get(name), dict):
                children.append((_at(path, name), value))
        waiting += reversed(children)


def _at(path: str, *names: str) -> str:
    prefix = "The schema at /" if path == "The schema" else f"{path}/"
    return prefix + "/".join(name[:60].replace("~", "~0").replace("/", "~1") for name in names)


def resolve(schema: Any, reference: str) -> Any:
    """The schema that a reference names, within the same; None where it names nothing."""
    node = schema
    for name in reference.removeprefix("#").split("/")[1:]:
        if not isinstance(node, dict):
            return None
        node = node.get(name.replace("~1", "/").replace("~0", "~"))
    return node
