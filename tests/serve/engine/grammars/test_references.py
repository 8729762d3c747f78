"""Schemas that are only themselves again are refused, at the place where they are."""

from __future__ import annotations

import pytest

from serve.engine.grammars.references import check_circles
from serve.engine.grammars.refusal import GrammarRefused


def of(**definitions: object) -> dict:
    return {"$ref": "#/$defs/a", "$defs": definitions}


REF_A, REF_B = {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        of(a=REF_A),
        of(a=REF_B, b=REF_A),
        of(a={"allOf": [REF_B]}, b={"anyOf": [{"oneOf": [REF_A]}]}),
    ],
)
def test_a_circle_is_refused(schema):
    with pytest.raises(GrammarRefused, match="leads back to itself and to nothing else"):
        check_circles(schema)


def test_the_place_of_a_circle_is_told():
    with pytest.raises(GrammarRefused, match=r"^The schema at /properties/x has a \$ref"):
        check_circles({"properties": {"x": REF_A}, "$defs": {"a": REF_A}})


@pytest.mark.parametrize(
    "schema",
    [
        of(a={"type": "string"}),
        of(a={"properties": {"next": REF_A}}),  # through an object: JSON that may end
        of(a={"anyOf": [REF_A, {"type": "null"}]}),  # another way out
        of(a=REF_B, b={"type": "object"}),
        of(a={"$ref": "#/$defs/none"}),
        True,
    ],
)
def test_a_way_out_is_enough(schema):
    check_circles(schema)
