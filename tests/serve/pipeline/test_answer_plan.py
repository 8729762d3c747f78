"""Plans of answers: what is held to which grammar, read by what, and refused."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import SamplingParams
from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.answer_plan import AnswerPlan, plan_answer
from serve.pipeline.events import (
    CallableTool,
    ChatPrompt,
    GenerateRequest,
    ReasoningUse,
    TextPrompt,
    ToolUse,
)
from serve.pipeline.model_dialects.bound import UNBOUND, BoundDialect, bind
from serve.pipeline.model_dialects.table import HERMES, LLAMA_JSON
from serve.timeline import Timeline

SPECIAL = {"<think>": 7, "</think>": 8}
BOUND = bind(HERMES, tokens=SPECIAL, special=SPECIAL)
NUMBER = Grammar(kind="regex", text="[0-9]+")
TOOL = CallableTool(name="f", parameters={"type": "object"})
CHAT = ChatPrompt(messages=({"role": "user", "content": "Hi."},))


@dataclass
class Checks:
    """A checker that refuses grammars which hold some text.

    Attributes:
        asked: the texts and params that it was asked for.
    """

    refused: str = "\0"
    asked: list[tuple[Grammar, str | None]] = field(default_factory=list)

    async def check(self, grammar: Grammar, param: str | None) -> None:
        self.asked.append((grammar, param))
        if self.refused in grammar.text + "".join(part.text for _, part in grammar.parts):
            raise InvalidRequest("refused", param=param)


def plan(
    dialect: BoundDialect = BOUND,
    checker: Checks | None = None,
    end: str = "",
    prompt: Any = CHAT,
    **wishes: Any,
) -> AnswerPlan:
    request = GenerateRequest(
        request_id="r",
        tenant="",
        prompts=(prompt,),
        sampling=SamplingParams(max_tokens=9),
        timeline=Timeline(arrived_at=0.0),
        **wishes,
    )
    return asyncio.run(plan_answer(request, dialect, checker, lambda _: end))


def test_a_completion_has_its_format_and_no_parser() -> None:
    checks = Checks()
    made = plan(checker=checks, prompt=TextPrompt("a"), format=NUMBER, format_param="x")
    assert made == AnswerPlan(grammar=NUMBER)
    assert checks.asked == [(NUMBER, "x")]
    assert plan(prompt=TextPrompt("a")) == AnswerPlan()
    with pytest.raises(UnsupportedField):
        plan(prompt=TextPrompt("a"), format=NUMBER)


def test_an_answer_that_is_content_alone_has_no_parser() -> None:
    plain = bind(LLAMA_JSON, tokens={}, special={})
    for dialect in (UNBOUND, plain):
        assert plan(dialect) == AnswerPlan()
    assert plan(plain, tool_use=ToolUse(tools=(TOOL,))).parser is not None


def test_each_choice_has_a_parser_of_its_own() -> None:
    made = plan(n=2)
    assert made.parser is not None
    assert made.parser(0) is not made.parser(0)
    assert made.marks == BOUND.marks_by_id
    assert {*made.marks} == {7, 8}


def test_special_tokens_that_are_shown_have_no_marks() -> None:
    assert plan(shows_special=True).marks == {}


@pytest.mark.parametrize("end", ["<think>\n", "assistant\n<think>"])
def test_a_prompt_may_have_opened_the_reasoning(end: str) -> None:
    opened, closed = plan(end=end).parser, plan(end=f"{end}</think>").parser
    assert opened is not None
    assert closed is not None
    assert opened(0).is_reasoning
    assert not closed(0).is_reasoning


def test_calls_are_read_though_the_engine_holds_nothing_to_a_grammar() -> None:
    made = plan(tool_use=ToolUse(tools=(TOOL,)))
    assert made.grammar is None
    assert made.parser is not None


@pytest.mark.parametrize(
    ("wishes", "param"),
    [
        ({"format": NUMBER, "format_param": "x"}, "x"),
        ({"tool_use": ToolUse(tools=(TOOL,), is_required=True)}, "tools"),
        ({"tool_use": ToolUse(tools=(CallableTool(name="f", is_strict=True),))}, "tools"),
        ({"reasoning": ReasoningUse(max_tokens=3)}, "thinking_token_budget"),
    ],
)
def test_what_the_engine_cannot_hold_is_refused(wishes: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedField) as refused:
        plan(**wishes)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("use", "param"),
    [
        (ToolUse(tools=(TOOL,), is_required=True), "tool_choice"),
        (ToolUse(tools=(CallableTool(name="f", is_strict=True),)), "tools"),
    ],
)
def test_calls_are_not_asked_of_a_model_that_shows_none(use: ToolUse, param: str) -> None:
    with pytest.raises(UnsupportedField, match="--tool-dialect") as refused:
        plan(UNBOUND, Checks(), tool_use=use)
    assert refused.value.param == param
    assert plan(UNBOUND, Checks(), tool_use=ToolUse(tools=(TOOL,))).grammar is None


def test_a_schema_that_holds_nothing_is_loosened_unless_it_is_strict() -> None:
    bad = CallableTool(name="g", parameters={"type": "object", "bad": 1})
    made = plan(checker=Checks('"bad"'), tool_use=ToolUse(tools=(TOOL, bad)))
    assert made.grammar is not None
    strict = CallableTool(name="g", parameters=bad.parameters, is_strict=True)
    with pytest.raises(InvalidRequest) as refused:
        plan(checker=Checks('"bad"'), tool_use=ToolUse(tools=(TOOL, strict)))
    assert refused.value.param == "tools[1].function.parameters"


def test_a_bad_format_is_named_before_the_tools_are() -> None:
    with pytest.raises(InvalidRequest) as refused:
        plan(
            checker=Checks("[0-9]"),
            tool_use=ToolUse(tools=(TOOL,)),
            format=NUMBER,
            format_param="response_format",
        )
    assert refused.value.param == "response_format"
