"""Grammars of answers, by what is asked for; test_form_grammars.py has those of the corpus."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.engine.grammars.grammar import Grammar
from serve.pipeline.events import CallableTool, ReasoningUse, ToolUse
from serve.pipeline.model_dialects.dialect import NO_DIALECT, ModelDialect
from serve.pipeline.model_dialects.grammars import Wish, grammar_of
from serve.pipeline.model_dialects.table import (
    DIALECTS,
    HARMONY,
    HERMES,
    KIMI,
    LLAMA_JSON,
    PYTHONIC,
)
from tests.serve.pipeline.model_dialects.dialects import ALL, LISTED, TAGGED
from tests.serve.pipeline.model_dialects.language import TOKENS, is_of
from tests.serve.pipeline.model_dialects.parsed import one_by_one

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
GET, F = CallableTool(name="get", parameters=CITY), CallableTool(name="f")
BOTH = (GET, F)
NUMBER = Grammar(kind="regex", text="[0-9]+")


def language(dialect: ModelDialect, loose: tuple[str, ...] = (), **wish: Any) -> Grammar:
    made = grammar_of(dialect, Wish(**wish), tokens=TOKENS, loose=loose)
    assert made is not None
    return made


def test_where_any_text_will_do_there_is_none() -> None:
    for dialect in (*DIALECTS.values(), NO_DIALECT):
        assert grammar_of(dialect, Wish(), tokens={}) is None
    wish = Wish(reasoning=ReasoningUse(max_tokens=4))
    assert grammar_of(LLAMA_JSON, wish, tokens={}) is None
    assert grammar_of(NO_DIALECT, Wish(tool_use=ToolUse(tools=BOTH)), tokens={}) is None


def test_a_format_alone_stays_as_it_is() -> None:
    assert grammar_of(LLAMA_JSON, Wish(format=NUMBER), tokens={}) is NUMBER


def test_a_format_comes_behind_reasoning() -> None:
    made = language(HERMES, format=NUMBER)
    assert is_of(made, "12")
    assert is_of(made, "<think>\nHm.\n</think>\n\n12")
    assert not is_of(made, "<think>\nHm.\n</think>\n\nx")
    opened = language(HERMES, format=NUMBER, is_thinking=True)
    assert is_of(opened, "Hm.\n</think>\n\n12")
    assert not is_of(opened, "12")


CALLED = [
    (HERMES, '<tool_call>\n{"name": "get", "arguments": {"city": "K"}}\n</tool_call>'),
    (LLAMA_JSON, '{"name": "get", "parameters": {"city": "K"}}'),
    (PYTHONIC, '[get(city="K")]'),
    (
        KIMI,
        (
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.get:0"
            '<|tool_call_argument_begin|>{"city": "K"}<|tool_call_end|><|tool_calls_section_end|>'
        ),
    ),
    (
        TAGGED,
        "<tool_call>\n<function=get>\n<parameter=city>\nK\n</parameter>\n</function>\n</tool_call>",
    ),
    (HARMONY, '<|channel|>commentary to=functions.get <|constrain|>json<|message|>{"city": "K"}'),
]
each_call = pytest.mark.parametrize(
    ("dialect", "text"), CALLED, ids=lambda one: getattr(one, "name", "")
)


@each_call
def test_required_is_calls_of_the_tools_with_their_arguments(
    dialect: ModelDialect, text: str
) -> None:
    made = language(dialect, tool_use=ToolUse(tools=BOTH, is_required=True))
    assert is_of(made, text)
    assert not is_of(made, f"Well. {text}")
    assert not is_of(made, text.replace("get", "got"))
    assert not is_of(made, text.replace("city", "town"))
    assert not is_of(made, "")
    seen = one_by_one(dialect, text)
    assert [(name, json.loads(arguments)) for name, arguments in seen.calls] == [
        ("get", {"city": "K"})
    ]


@each_call
def test_auto_is_any_text_or_calls_of_the_tools(dialect: ModelDialect, text: str) -> None:
    made = language(dialect, tool_use=ToolUse(tools=BOTH))
    for said in (text, "Hello.", ""):
        assert is_of(made, said)
    if dialect is not HARMONY:  # whose markup is of tokens: in plain text it is content
        assert not is_of(made, text.replace("city", "town"))


def test_more_than_one_call_only_where_they_may_be_parallel() -> None:
    text = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    for is_parallel in (True, False):
        use = ToolUse(tools=BOTH, is_required=True, is_parallel=is_parallel)
        made = language(HERMES, tool_use=use)
        assert is_of(made, text)
        assert is_of(made, f"{text}\n{text}") is is_parallel


def test_calls_or_a_format() -> None:
    made = language(HERMES, tool_use=ToolUse(tools=BOTH), format=NUMBER)
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    assert is_of(made, "12")
    assert is_of(made, call)
    assert not is_of(made, "x")
    assert not is_of(made, f"12{call}")


def test_tools_whose_schema_holds_nothing_take_any_object() -> None:
    text = '<tool_call>\n{"name": "get", "arguments": {"town": 1}}\n</tool_call>'
    use = ToolUse(tools=(GET,), is_required=True)
    assert not is_of(language(HERMES, tool_use=use), text)
    assert is_of(language(HERMES, loose=("get",), tool_use=use), text)
    untyped = replace(GET, parameters={"properties": {"a": True}})
    use = ToolUse(tools=(untyped,), is_required=True)
    assert not is_of(language(HERMES, tool_use=use), text.replace('{"town": 1}', "1"))


def test_a_budget_bounds_reasoning() -> None:
    reasoning = ReasoningUse(max_tokens=6)
    made = language(HERMES, reasoning=reasoning)
    assert is_of(made, "<think>\nHm</think>\n\nHi.")
    assert is_of(made, "Hi.")
    assert not is_of(made, f"<think>\n{'a b c d e f ' * 9}</think>Hi.")
    opened = language(HERMES, reasoning=reasoning, is_thinking=True)
    assert is_of(opened, "Hm</think>Hi.")
    assert not is_of(opened, f"{'a b c d e f ' * 9}</think>Hi.")


def test_content_that_has_literals_around_it() -> None:
    made = language(LISTED, format=NUMBER)
    assert is_of(made, "<reply>12</reply>")
    assert not is_of(made, "12")
    assert one_by_one(LISTED, "<reply>12</reply>").content == "12"


SCHEMAS: list[Any] = [None, {}, CITY, {"type": "string"}, {"properties": 1}, {"properties": {}}]
SCHEMAS += [{"properties": {"a": 1, "b": {"type": ["x"]}, "": {"enum": []}}, "required": "a"}]


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=30)
@given(
    schemas=st.lists(st.sampled_from(SCHEMAS), min_size=1, max_size=3),
    flags=st.tuples(*[st.booleans()] * 4),
    budget=st.sampled_from([None, 0, 5]),
    has_format=st.booleans(),
)
def test_every_wish_has_a_grammar_that_is_written(
    name: str, schemas: list[Any], flags: tuple[bool, ...], budget: int | None, has_format: bool
) -> None:
    tools = tuple(CallableTool(name=f"t{n}", parameters=one) for n, one in enumerate(schemas))
    use = ToolUse(tools=tools, is_required=flags[0], is_parallel=flags[1])
    wish = Wish(
        tool_use=use if flags[2] else None,
        format=NUMBER if has_format else None,
        reasoning=ReasoningUse(max_tokens=budget),
        is_thinking=flags[3],
    )
    for tokens in ({}, TOKENS, {"<think>": 1, "</think>": 2, "<tool_call>": 3}):
        grammar_of(ALL[name], wish, tokens=tokens)
