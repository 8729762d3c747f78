"""Grammars of arguments that are written one by one."""

from __future__ import annotations

from typing import Any

import pytest

from serve.pipeline.model_dialects.dialect import TaggedCall
from serve.pipeline.model_dialects.lark import Lark
from serve.pipeline.model_dialects.tagged_grammars import tagged_arguments
from tests.serve.pipeline.model_dialects.language import TOKENS, is_of

TAGS = TaggedCall(name_end=">", key_open="<p=", key_end=">", value_end="</p>")
TYPED = TaggedCall(name_end=">", key_open="<p=", key_end=" s>", value_end="</p>", key_end_other=">")
PYTHON = TaggedCall(name_end="(", key_open="", key_end="=", value_end="", separator=", ", quote='"')
MARKED = TaggedCall(
    name_end="{", key_open="", key_end=":", value_end="", separator=",", quote="<q>"
)
SCHEMA = {
    "properties": {
        "a": {"type": "string"},
        "b": {"type": "integer"},
        "c": {"type": "boolean"},
        "d": {"type": "string", "enum": ["x", "y"]},
    },
    "required": ["b"],
}


@pytest.mark.parametrize(
    ("body", "text", "wanted"),
    [
        (TAGS, "<p=a>any</p><p=b>12</p><p=c>True</p><p=d>x</p>", True),
        (TAGS, "<p=b>12</p>", True),
        (TAGS, "<p=a>any</p>", False),
        (TAGS, "<p=b>x</p>", False),
        (TAGS, "<p=b>1</p><p=d>z</p>", False),
        (TAGS, "<p=b>1</p><p=a>any</p>", False),
        (TYPED, "<p=a s>any</p><p=b>12</p>", True),
        (TYPED, "<p=a>any</p><p=b>12</p>", False),
        (PYTHON, 'a="x, y", b=2, c=false', True),
        (PYTHON, "b=2", True),
        (PYTHON, "b=2, c=True", True),
        (PYTHON, "c=True", False),
        (PYTHON, "b=2, ", False),
        (MARKED, "a:<q>x,y<q>,b:2", True),
        (MARKED, "b:2", True),
        (MARKED, "a:<q>x<q>", False),
    ],
)
def test_arguments_in_the_tools_order_with_those_that_are_required(
    body: TaggedCall, text: str, wanted: bool
) -> None:
    assert _is_of(body, SCHEMA, text) is wanted


@pytest.mark.parametrize(
    ("body", "text"),
    [(TAGS, "<p=k>v</p><p=l>w</p>"), (PYTHON, 'k="v", l=[1]'), (MARKED, "k:<q>v<q>,l:1")],
)
def test_where_the_tool_names_none_any_may_come(body: TaggedCall, text: str) -> None:
    schemas: list[dict[str, Any]] = [{}, {"properties": {}}, {"properties": 1}]
    for schema in schemas:
        assert _is_of(body, schema, text)
        assert _is_of(body, schema, "")
    assert not _is_of(body, {"additionalProperties": False}, text)


def test_all_that_may_be_left_out() -> None:
    schema = {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": 1}
    for text in ("", "a=1", "b=1", "a=1, b=2"):
        assert _is_of(PYTHON, schema, text)


def _is_of(body: TaggedCall, schema: dict[str, Any], text: str) -> bool:
    lark = Lark(TOKENS)
    lark.rule("start", f'"{{" {tagged_arguments(lark, body, schema)} "}}"')
    return is_of(lark.grammar(), f"{{{text}}}")
