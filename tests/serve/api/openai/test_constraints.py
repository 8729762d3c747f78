"""Grammars of JSON values, and words for what is misshapen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from serve.api.openai import constraints
from serve.engine.grammars.grammar import Grammar
from serve.errors import InvalidRequest

SCHEMA = {"type": "object", "properties": {"ä": {"enum": [1, None]}}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (SCHEMA, json.dumps(SCHEMA, ensure_ascii=False)),
        (json.dumps(SCHEMA), json.dumps(SCHEMA, ensure_ascii=False)),
        ({}, "{}"),
        ([], "{}"),
        (True, "true"),
        (False, "false"),
        (" true ", "true"),
    ],
)
def test_a_schema_may_be_an_object_a_truth_or_its_text(value: Any, text: str) -> None:
    assert constraints.json_of(value, "x") == Grammar(kind="json_schema", text=text)


@pytest.mark.parametrize(
    ("read", "value", "param", "message"),
    [
        (constraints.json_of, 5, "x", "x must be a JSON schema, .* not 5"),
        (constraints.json_of, [1], "x", "x must be a JSON schema, .* not an array"),
        (constraints.json_of, "{", "x", "x is not valid JSON"),
        (constraints.json_of, "[1]", "x", "x is a JSON array: send a JSON object"),
        (constraints.json_of, '{"a":1,"a":2}', "x", "a"),
        (constraints.json_of, '{"a":' + "[" * 99 + "]" * 99 + "}", "x", "deep"),
        (constraints.regex_of, "", "x", "x must have at least 1 character"),
        (constraints.regex_of, ["a"], "x", "x must be a string, not an array"),
        (constraints.grammar_of, {"root": "a"}, "x", "x must be a string, not an object"),
        (constraints.choice_of, "a", "x", "x must be an array of strings, not a string"),
        (constraints.choice_of, [], "x", "x must be an array of strings, not an empty one"),
        (constraints.choice_of, ["a", 5], "x[1]", "must be a string, not 5"),
        (constraints.choice_of, ["a", ""], "x[1]", "at least 1 character"),
        (constraints.any_object_of, "yes", "x", "x must be true or false"),
        (constraints.structural_of, "{}", "x", "x needs either a format, or structures"),
        (constraints.structural_of, {"format": []}, "x.format", "must be an object"),
        (constraints.structural_of, {"structures": []}, "x.triggers", "must be an array"),
        (
            constraints.structural_of,
            {"format": {"a": 1}, "triggers": ["<"]},
            "x",
            "needs either a format, or structures with triggers",
        ),
    ],
)
def test_what_is_misshapen_is_refused_by_its_name(
    read: Callable[[Any, str], Any], value: Any, param: str, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        read(value, "x")
    assert refused.value.param == param


def test_other_kinds() -> None:
    assert constraints.regex_of("a+", "x") == Grammar(kind="regex", text="a+")
    assert constraints.choice_of(["a", "b"], "x") == Grammar(kind="choice", choices=("a", "b"))
    assert constraints.grammar_of('start: "a"', "x") == Grammar(kind="lark", text='start: "a"')
    assert constraints.any_object_of(False, "x") is None
    older = {"structures": [{"begin": "<a>", "schema": {}, "end": "</a>"}], "triggers": ["<a"]}
    for value in (older, json.dumps(older), {**older, "type": "structural_tag"}):
        grammar = constraints.structural_of(value, "x")
        assert grammar is not None
        assert grammar.kind == "structural"
        assert json.loads(grammar.text) == {"type": "structural_tag", **older}


def test_a_field_that_asks_for_nothing_is_no_unknown_one() -> None:
    constraints.check_names({"a": 1, "b": None, "c": False, "d": []}, "x", ("a",))
    with pytest.raises(InvalidRequest, match=r"x.schem is not .* Did you mean schema\?") as refused:
        constraints.check_names({"schem": 1}, "x", ("schema",))
    assert refused.value.param == "x.schem"
