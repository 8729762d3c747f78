"""Patterns that a schema joins: counted where they are of one text, and only there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serve.engine.grammars import bounds, json_schema
from serve.engine.grammars.refusal import GrammarRefused

_FORMATS = sorted(json_schema.KNOWN_FORMATS)
_ALTERNATIVES = [{"format": name} for name in _FORMATS]
_VARIANTS = [
    {
        "properties": {"kind": {"const": name}, "value": {"type": "string", "format": name}},
        "required": ["kind", "value"],
    }
    for name in _FORMATS
]


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {name: {"type": "string", "format": name} for name in _FORMATS}},
        {"type": "string", "anyOf": _ALTERNATIVES},
        {"type": "string", "pattern": ".", "anyOf": _ALTERNATIVES},
        {"allOf": [{"anyOf": _ALTERNATIVES}]},
        {"type": "string", "pattern": "a", "anyOf": [True, {"minLength": 2}, {"minLength": 3}]},
        {"properties": {"kind": {"type": "string"}}, "oneOf": _VARIANTS},
        {
            "allOf": [
                {"properties": {name: {"format": name} for name in _FORMATS}},
                {"properties": {"more": {"pattern": "^a"}}},
            ]
        },
        {"allOf": [{"properties": {"a": {"pattern": "a"}}} for _ in range(20)]},
        {"allOf": [{"format": f"unknown-{n}"} for n in range(20)]},
        {
            "$ref": "#/$defs/node",
            "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}, "allOf": [True]}},
        },
    ],
)
def test_what_is_not_of_one_text_is_not_counted_together(schema: Any) -> None:
    json_schema.read(json.dumps(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"anyOf": _ALTERNATIVES[:3]}, {"oneOf": _ALTERNATIVES[3:6]}]},
        {"pattern": ".", "anyOf": [{"allOf": _ALTERNATIVES[:4]}]},
        {
            "properties": {"a": {"pattern": "."}},
            "anyOf": [{"properties": {"a": {"allOf": _ALTERNATIVES[:4]}}}],
        },
    ],
)
def test_what_is_of_one_text_is(schema: Any) -> None:
    with pytest.raises(GrammarRefused, match=r"joins \d patterns and formats"):
        json_schema.read(json.dumps(schema))


def test_what_is_looked_at_is_bounded() -> None:
    parts = {
        f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}, {"minLength": n}]} for n in range(400)
    }
    # The inner ones stand before the outer ones, each of which holds them all.
    definitions = {"a400": {"type": "string"}, **dict(reversed(parts.items()))}
    with pytest.raises(GrammarRefused, match=f"joins more than {bounds.MAX_JOINED} schemas"):
        json_schema.read(json.dumps({"$defs": definitions, "$ref": "#/$defs/a0"}))
