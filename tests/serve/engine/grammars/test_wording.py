"""Refusals of grammars in our words: where it is, what to do, and no state of the parser."""

from __future__ import annotations

import json

import pytest

from serve.engine.grammars import wording
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.wording import refusal


def of_schema(message: str, schema: object) -> str:
    return refusal(message, Grammar(kind="json_schema", text=json.dumps(schema)))


DEEP = {"properties": {"a": {"oneOf": [{}]}, "b": {"pattern": "x"}, "c": {"$ref": "#/x"}}}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ('Unimplemented keys: ["oneOf", "z"]', "The schema at /properties/a has oneOf, z, which"),
        ("oneOf constraints are hard", "The schema at /properties/a has a oneOf whose"),
        ("Unable to determine if regex is empty", "at /properties/b has a pattern, with bounds"),
        ("regex parse error", "at /properties/b has a pattern that cannot be used"),
        ("Default retriever does not", "at /properties/c has a $ref to what the schema does not"),
        ("Unsatisfiable schema: no way (at 3)", "No JSON is valid under the schema: no way."),
        ("Unsatisfiable schema: Regex is empty: /[]/", "under the schema: no text has a pattern"),
        (
            "Failed to generate regex for min=Some(5) max=Some(3)",
            "no integer lies between its bounds",
        ),
        ("Failed to generate regex for min=Some(3)", "a minimum or maximum that is too large"),
        ("number out of range at 7", wording.TOO_LARGE_NUMBER),
        ("Resource x is not known", "has a $ref to what"),
        ("something else\nstate 7", "The schema cannot be used: something else."),
        ("initial lexer fuel exhausted", wording.TOO_LARGE),
    ],
)
def test_a_schema_is_refused_at_its_place(message, told):
    if message.startswith("Resource"):
        message = f"{message} in the registry"
    assert told in of_schema(message, DEEP)


def test_a_schema_without_references_has_a_draft_that_nobody_knows():
    assert "names no draft that is known" in of_schema("Resource x", {"$schema": "x"})


@pytest.mark.parametrize(
    ("kind", "message", "told"),
    [
        ("regex", "look-ahead", "The regular expression cannot be used: look-around"),
        ("regex", "backreference", "references back (as \\1) are not supported"),
        ("regex", "x\nerror: unclosed group\n7", "cannot be used: unclosed group."),
        ("lark", "at 3(7): unknown name 'x'", "wrong at line 3, column 7: unknown name 'x'."),
        ("structural", "at 3(7): unknown name 'x'", "The grammar is wrong: unknown name 'x'."),
        ("lark", "3(7): regex: error: bad", "line 3, column 7: invalid regular expression: bad."),
        ("lark", 'unknown special token: "<|x|>"', "this model does not have: <|x|>"),
        ("lark", "no such rule (at 7): state 9", "The grammar cannot be used: no such rule."),
        ("lark", "too many items", wording.TOO_LARGE),
        ("regex", "regex parse error: too large", "The regular expression cannot be used: "),
    ],
)
def test_a_text_is_refused_in_few_words(kind, message, told):
    assert told in refusal(message, Grammar(kind=kind, text="x"))


def test_a_long_reason_is_cut():
    told = refusal("y" * 1000, Grammar(kind="lark", text="x"))
    assert told.endswith(f"{'y' * 160}....")
    assert len(told) < 200


def test_no_reason_is_one_too():
    assert (
        refusal("\n \n", Grammar(kind="lark", text="x"))
        == "The grammar cannot be used: it is not valid."
    )
