"""llguidance's form of each kind, and which texts are of its language."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.grammars.compiling import GrammarCompiler
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.serialised import serialised
from serve.engine.grammars.vocabulary import load
from tests.serve.engine.grammars.conftest import DEMO, EOS, VOCAB_SIZE

COMPILER = GrammarCompiler(load(DEMO, vocab_size=VOCAB_SIZE, eos_token_ids=EOS), VOCAB_SIZE)


def is_of(grammar: Grammar, text: str) -> bool:
    """Whether a whole text is of the grammar's language."""
    matcher = COMPILER.compile(grammar)._matcher
    token_ids = COMPILER._tokenizer.tokenize_bytes(text.encode())
    return matcher.try_consume_tokens(token_ids) == len(token_ids) and matcher.is_accepting()


def schema(value: Any, **rules: Any) -> Grammar:
    return Grammar(kind="json_schema", text=json.dumps(value), **rules)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(texts, texts)
def test_a_choice_is_taken_as_it_is_written(chosen: str, other: str) -> None:
    grammar = Grammar(kind="choice", choices=(chosen, other))
    assert is_of(grammar, chosen)
    assert is_of(grammar, other)
    assert is_of(grammar, chosen + other) == (chosen + other in {chosen, other})


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("a/b", "a/b", r"a\/b"),
        (r"a\/b", "a/b", "ab"),
        ("a\nb", "a\nb", "a b"),
        ('"[^"]*"', '"/"', '"'),
        ("[/]", "/", "a"),
        ("^ab$", "ab", "abc"),
        (r"\d+", "12", "x"),
        ("ö|😀", "😀", "o"),
    ],
)
def test_a_regex_may_hold_anything(pattern: str, good: str, bad: str) -> None:
    grammar = Grammar(kind="regex", text=pattern)
    assert is_of(grammar, good)
    assert not is_of(grammar, bad)


def test_gbnf_is_taken_for_lark() -> None:
    grammar = Grammar(kind="lark", text='root ::= "x" digit+\ndigit ::= [0-9]\n')
    assert is_of(grammar, "x12")
    assert not is_of(grammar, "x")
    assert is_of(Grammar(kind="lark", text='start: "::="'), "::=")


def test_parts_are_named() -> None:
    part = schema({"type": "integer"})
    grammar = Grammar(kind="lark", text='start: "n=" @number', parts=(("number", part),))
    assert is_of(grammar, "n=12")
    assert not is_of(grammar, "n=x")


def test_json_with_and_without_space() -> None:
    value = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert is_of(schema(value), '{ "a": 1 }')
    assert not is_of(schema(value, is_compact=True), '{"a": 1}')
    assert is_of(schema(value, is_compact=True), '{"a":1}')
    assert is_of(schema(value, whitespace="[ ]?"), '{"a": 1}')
    assert not is_of(schema(value, whitespace="[ ]?"), '{"a":\n1}')
    assert is_of(schema(True, is_compact=True), "[1,2]")


OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("value", "is_allowed"),
    [
        (OPEN, False),
        ({**OPEN, "additionalProperties": True}, True),
        ({"type": "object"}, True),
        ({"allOf": [OPEN, {"type": "object", "properties": {"b": {"type": "integer"}}}]}, True),
        (
            {
                "allOf": [{"$ref": "#/$defs/one"}, {"properties": {"b": {}}}],
                "$defs": {"one": OPEN},
            },
            True,
        ),
        ({"$ref": "#/$defs/one", "$defs": {"one": OPEN}}, False),
    ],
)
def test_a_closed_object_has_no_more_properties(value: Any, is_allowed: bool) -> None:
    assert is_of(schema(value), '{"a": 1, "b": 2}')
    assert is_of(schema(value, is_closed=True), '{"a": 1, "b": 2}') == is_allowed


def test_an_unknown_format_is_a_note_and_a_known_one_is_not() -> None:
    assert is_of(schema({"type": "string", "format": "password"}), '"x"')
    assert is_of(schema({"type": "integer", "format": "int64"}), "1")
    assert not is_of(schema({"type": "string", "format": "date"}), '"x"')
    properties = {"properties": {"format": {"type": "string", "format": "byte"}}}
    assert is_of(schema(properties), '{"format": "x"}')


STRUCTURES = {
    "structures": [
        {"begin": "[call=f]", "schema": {"type": "integer"}, "end": "[/call]"},
        {"begin": "[call=g]", "schema": {"type": "string"}, "end": "[/call]"},
    ],
    "triggers": ["[call="],
}
TAGS = {
    "type": "structural_tag",
    "format": {
        "type": "triggered_tags",
        "triggers": ["[call="],
        "tags": [
            {
                "begin": one["begin"],
                "content": {"type": "json_schema", "json_schema": one["schema"]},
                "end": one["end"],
            }
            for one in STRUCTURES["structures"]
            if isinstance(one, dict)
        ],
    },
}


@pytest.mark.parametrize("form", [STRUCTURES, TAGS])
def test_a_structural_form_frees_what_is_around_it(form: Any) -> None:
    grammar = Grammar(kind="structural", text=json.dumps(form))
    assert is_of(grammar, "no call at all\n[ca")
    assert is_of(grammar, 'a [call=f]12[/call] b [call=g]"x"[/call]')
    assert not is_of(grammar, "a [call=f]x[/call]")
    assert not is_of(grammar, "a [call=h]1[/call]")
    assert not is_of(grammar, "a [call=f]1")


def test_the_form_is_one_json_text() -> None:
    grammar = Grammar(kind="lark", text="start: @x", parts=(("x", schema({"type": "null"})),))
    assert json.loads(serialised(grammar)) == {
        "grammars": [
            {"lark_grammar": "start: @x"},
            {"name": "x", "json_schema": {"type": "null"}},
        ]
    }
