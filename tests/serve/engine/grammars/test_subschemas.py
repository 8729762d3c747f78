"""The schemas within a schema, each with the words for its place, and what references name."""

from __future__ import annotations

import pytest

from serve.engine.grammars.subschemas import resolve, subschemas

SCHEMA = {
    "properties": {"a/b": {"type": "string"}, "c": {"items": {"not": {"const": 1}}}},
    "anyOf": [{"type": "object"}, True, {"$ref": "#/$defs/d"}],
    "items": [{"minimum": 1}],
    "$defs": {"d": {"additionalProperties": False}},
    "const": {"type": "string"},  # a value, no schema
    "if": {},
}


def test_every_schema_has_its_place_the_outermost_first():
    found = list(subschemas(SCHEMA))
    assert found[0] == ("The schema", SCHEMA)
    assert {path.removeprefix("The schema at /") for path, _ in found[1:]} == {
        "properties/a~1b",
        "properties/c",
        "properties/c/items",
        "properties/c/items/not",
        "anyOf/0",
        "anyOf/2",
        "items/0",
        "$defs/d",
        "if",
    }


@pytest.mark.parametrize("schema", [True, None, 7, "x", []])
def test_what_is_no_object_has_none(schema):
    assert list(subschemas(schema)) == []


def test_a_long_name_is_told_in_part():
    (_, (path, _)) = subschemas({"properties": {"x" * 100: {}}})
    assert path == f"The schema at /properties/{'x' * 60}"


def test_a_deep_schema_is_walked_without_recursion():
    schema: dict = {}
    for _ in range(5000):
        schema = {"not": schema}
    assert sum(1 for _ in subschemas(schema)) == 5001


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("#", SCHEMA),
        ("#/$defs/d", {"additionalProperties": False}),
        ("#/properties/a~1b", {"type": "string"}),
        ("#/$defs/none", None),
        ("#/$defs/none/more", None),
        ("#/anyOf/0", None),  # references into lists are followed by nobody
    ],
)
def test_a_reference_names_a_part_or_nothing(reference, found):
    assert resolve(SCHEMA, reference) == found
