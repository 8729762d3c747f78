"""The plan of a request's answers: the grammar that they are held to, the stage that reads them.

Both come from the model's dialect (model_dialects). What no completion could be of is refused here,
before anything is started.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from serve.engine.grammars.grammar import Grammar
from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.events import CallableTool, ChatPrompt, GenerateRequest
from serve.pipeline.model_dialects.bound import BoundDialect
from serve.pipeline.model_dialects.dialect import is_weak
from serve.pipeline.model_dialects.grammars import Wish, grammar_of
from serve.pipeline.model_dialects.parsing import AnswerParser

TAIL_TOKENS = 32
"""Tokens of a prompt's end in which it may have opened the reasoning."""


class Checker(Protocol):
    """Whoever knows which grammars an engine can hold an answer to."""

    async def check(self, grammar: Grammar, param: str | None) -> None:
        """Raises InvalidRequest or UnsupportedField, which name ``param``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPlan:
    """The same for all candidates of a request.

    Attributes:
        grammar: that the engine holds them to; None is any text.
        banned: texts that may not come.
        marks: what stands in their text for special tokens, by token id.
        parser: makes the stage of one choice; None where all that comes is content.
    """

    grammar: Grammar | None = None
    banned: tuple[str, ...] = ()
    marks: Mapping[int, str] = field(default_factory=dict)
    parser: Callable[[int], AnswerParser] | None = None


async def plan_answer(
    request: GenerateRequest,
    dialect: BoundDialect,
    checker: Checker | None,
    prompt_end: Callable[[int], str],
) -> AnswerPlan:
    """The plan of a request.

    Args:
        checker: None where the engine can hold an answer to nothing.
        prompt_end: gives the text of the last so many tokens of the prompt, names shown.

    Raises:
        InvalidRequest: a format or a tool's schema that no completion can be of.
        UnsupportedField: the engine, or the model, cannot do what is asked for.
    """
    if not isinstance(request.prompts[0], ChatPrompt):
        if request.format is not None:
            await _needed(checker, request.format_param).check(request.format, request.format_param)
        return AnswerPlan(grammar=request.format)
    _check_calls(request, dialect)
    wish = Wish(
        tool_use=request.tool_use,
        format=request.format,
        reasoning=request.reasoning,
        is_thinking=_is_thinking(dialect, prompt_end),
    )
    grammar = await _checked_grammar(request, dialect, wish, checker)
    banned = _banned(request, dialect)
    if request.tool_use is None and dialect.is_plain:
        return AnswerPlan(grammar=grammar, banned=banned)
    return AnswerPlan(
        grammar=grammar,
        banned=banned,
        marks={} if request.shows_special else dialect.marks_by_id,
        parser=_parsers(request, dialect, wish),
    )


def _parsers(
    request: GenerateRequest, dialect: BoundDialect, wish: Wish
) -> Callable[[int], AnswerParser]:
    use = request.tool_use
    is_marked = not request.shows_special  # else special tokens are in the text by their names
    tools = None if use is None else {tool.name: tool.parameters for tool in use.tools}

    def parser(index: int) -> AnswerParser:
        return AnswerParser(
            index=index,
            dialect=dialect.marked if is_marked else dialect.dialect,
            tools=tools,
            is_parallel=use is None or use.is_parallel,
            is_thinking=wish.is_thinking,
            shows_reasoning=request.reasoning.is_shown,
            marks=dialect.marks if is_marked else None,
        )

    return parser


def _banned(request: GenerateRequest, dialect: BoundDialect) -> tuple[str, ...]:
    """The text that begins a call, where none may come and it is more than brackets."""
    syntax = dialect.dialect.calls
    if not request.forbids_calls or syntax is None or is_weak(syntax.trigger):
        return ()
    return (syntax.trigger,)


def _check_calls(request: GenerateRequest, dialect: BoundDialect) -> None:
    use = request.tool_use
    if use is None or dialect.dialect.calls is not None:
        return
    if use.is_required or any(tool.is_strict for tool in use.tools):
        raise UnsupportedField(
            "This model's folder does not show how it calls tools, so no call can be asked of it: "
            "neither by tool_choice nor by strict. Leave both out, or have the operator name the "
            "way by --tool-dialect.",
            param="tool_choice" if use.is_required else "tools",
        )


def _is_thinking(dialect: BoundDialect, prompt_end: Callable[[int], str]) -> bool:
    """Whether the prompt ends within the reasoning."""
    reasoning = dialect.dialect.reasoning
    if reasoning is None:
        return False
    return prompt_end(TAIL_TOKENS).rstrip().endswith(reasoning.open.strip())


async def _checked_grammar(
    request: GenerateRequest, dialect: BoundDialect, wish: Wish, checker: Checker | None
) -> Grammar | None:
    use = request.tool_use
    is_bound = request.format is not None or request.reasoning.max_tokens is not None
    is_bound = is_bound or (use is not None and _binds(use.tools, is_required=use.is_required))
    if checker is None and not is_bound:
        return None  # a model that calls by itself is read all the same
    grammar = grammar_of(dialect.dialect, wish, tokens=dialect.tokens)
    if grammar is None:
        return None
    if request.format is not None:
        await _needed(checker, request.format_param).check(request.format, request.format_param)
    if use is None:
        has_format = request.format is not None
        param = request.format_param if has_format else "thinking_token_budget"
        await _needed(checker, param).check(grammar, param)
        return grammar
    checked = _needed(checker, "tools")
    try:
        await checked.check(grammar, "tools")
    except InvalidRequest:
        loose = await _loose(use.tools, checked)
        grammar = grammar_of(dialect.dialect, wish, tokens=dialect.tokens, loose=loose)
        if grammar is not None:
            await checked.check(grammar, "tools")
    return grammar


def _binds(tools: Sequence[CallableTool], *, is_required: bool) -> bool:
    return is_required or any(tool.is_strict for tool in tools)


async def _loose(tools: Sequence[CallableTool], checker: Checker) -> frozenset[str]:
    """The tools whose schema no answer can be held to. Raises what is wrong with a strict one."""
    loose = set()
    for number, tool in enumerate(tools):
        if not tool.parameters:
            continue
        text = json.dumps(tool.parameters, ensure_ascii=False)
        param = f"tools[{number}].function.parameters"
        try:
            await checker.check(Grammar(kind="json_schema", text=text), param)
        except InvalidRequest:
            if tool.is_strict:
                raise
            loose.add(tool.name)
    return frozenset(loose)


def _needed(checker: Checker | None, param: str) -> Checker:
    if checker is None:
        raise UnsupportedField(
            "The engine cannot hold an answer of this model to a grammar: leave formats, strict "
            "tools, a required tool_choice and thinking_token_budget out.",
            param=param,
        )
    return checker
