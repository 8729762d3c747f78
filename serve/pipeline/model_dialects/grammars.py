"""The grammar of an answer: what a request asks for, in the way in which its model writes it.

::

    reasoning?  then   free text                      nothing is asked for
                       free text, until a call begins, then calls      tools, auto
                       calls                                           tools, required or named
                       the format | calls                              a format, with tools or not

Literals are those of the template, character by character: they are forced, and cost no choice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from serve.engine.grammars.grammar import Grammar
from serve.pipeline.events import CallableTool, ReasoningUse, ToolUse
from serve.pipeline.model_dialects.dialect import (
    MAX_CALLS,
    NAME_MARK,
    CallSyntax,
    JsonCall,
    ModelDialect,
    NamedCall,
    ReasoningSyntax,
    is_weak,
)
from serve.pipeline.model_dialects.lark import Lark
from serve.pipeline.model_dialects.tagged_grammars import tagged_arguments

_ID = "/[a-zA-Z0-9]{9}/"
_NUMBER = "/[0-9]{1,3}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A request's demands on an answer.

    Attributes:
        tool_use: None where no tool may be called.
        format: the language of the content; None is any text.
        reasoning: bounds of it.
        is_thinking: whether the prompt has opened the reasoning already.
    """

    tool_use: ToolUse | None = None
    format: Grammar | None = None
    reasoning: ReasoningUse = field(default_factory=ReasoningUse)
    is_thinking: bool = False


def grammar_of(
    dialect: ModelDialect,
    wish: Wish,
    *,
    tokens: Mapping[str, int],
    loose: Collection[str] = frozenset(),
) -> Grammar | None:
    """The grammar that an answer is held to; None where any text will do.

    Args:
        tokens: ids of the tokenizer's added tokens by their names.
        loose: names of tools whose arguments may be any object, whatever their schema says.
    """
    has_calls = wish.tool_use is not None and dialect.calls is not None
    has_budget = wish.reasoning.max_tokens is not None and dialect.reasoning is not None
    if wish.format is None and not has_calls and not has_budget:
        return None
    is_plain = dialect.reasoning is None and not dialect.content_open
    if wish.format is not None and not has_calls and is_plain:
        return wish.format
    lark = Lark(tokens)
    rest = _rest(lark, dialect, wish, loose)
    lark.rule("start", _with_reasoning(lark, dialect.reasoning, wish, rest))
    return lark.grammar()


@dataclass(frozen=True, slots=True)
class _Rest:
    """The part of an answer that comes after the reasoning.

    Attributes:
        is_free: whether it may begin with any text, white space too.
    """

    rule: str
    is_free: bool


def _with_reasoning(lark: Lark, syntax: ReasoningSyntax | None, wish: Wish, rest: _Rest) -> str:
    """The rest, with reasoning before it where there may be some."""
    if syntax is None:
        return rest.rule
    budget = wish.reasoning.max_tokens
    thought = lark.up_to(syntax.close.strip(), max_tokens=budget)
    space = "" if rest.is_free else lark.space()
    if wish.is_thinking:
        return f"{thought} {space} {rest.rule}"
    opened = f"{lark.space()} {lark.literal(syntax.open.strip())}"
    if budget is not None and rest.is_free:
        # Else the reasoning could pass for content, which has no bound.
        unthought = lark.text_not_beginning_with([syntax.open.strip()])
        return f"({opened} {thought} {rest.rule} | {unthought})"
    return f"({opened} {thought} {space})? {rest.rule}"


def _rest(lark: Lark, dialect: ModelDialect, wish: Wish, loose: Collection[str]) -> _Rest:
    use, syntax = wish.tool_use, dialect.calls
    content = _content(lark, dialect, wish)
    if use is None or syntax is None:
        return content
    lark.rule("body", _bodies(lark, syntax, use, loose))
    more = _more(lark, syntax) if use.is_parallel else ""
    closed = f"{more} {lark.literal(syntax.section_close)}"
    behind = f"body {closed} {lark.space()}"
    opened = (syntax.section_open + syntax.open).lstrip()
    called = f"{lark.literal(opened)} {behind}"
    if use.is_required:
        return _Rest(called, is_free=False)
    if wish.format is not None or dialect.has_either:
        return _Rest(f"({content.rule} | {called})", is_free=content.is_free)
    if is_weak(syntax.trigger):
        # Text may begin like a call, and only that of a tool is one. What tells the two apart has
        # to be one literal, for a longer one goes before.
        text = lark.text_not_beginning_with(
            [_beginning(syntax, tool, opened) for tool in use.tools]
        )
        lark.rule("first", _bodies(lark, syntax, use, loose, opened))
        if dialect.content_open:
            text = f"{lark.space()} {lark.literal(dialect.content_open.lstrip())} {lark.text()}"
        return _Rest(f"({text} | first {closed} {lark.space()})", is_free=True)
    before = lark.up_to(opened)
    if dialect.content_open or dialect.content_close:
        calls = "*" if use.is_parallel else "?"
        return _Rest(f"{content.rule} ({before} {behind}){calls} {lark.space()}", is_free=True)
    if use.is_parallel:
        return _Rest(f"({before} {behind})* {content.rule}", is_free=True)
    return _Rest(f"({content.rule} | {before} {behind})", is_free=True)


def _content(lark: Lark, dialect: ModelDialect, wish: Wish) -> _Rest:
    """Content of any text or of the format, with what the model writes around it."""
    opened, closed = lark.literal(dialect.content_open), lark.literal(dialect.content_close.strip())
    if wish.format is not None:
        return _Rest(f"{opened} {lark.part(wish.format)} {closed}", is_free=False)
    behind = f"({closed})?" if closed else ""
    if not opened:
        return _Rest(f"{lark.text()} {behind}", is_free=True)
    other = lark.text_not_beginning_with([dialect.content_open.lstrip()])
    rule = f"({lark.space()} {opened} {lark.text()} | {other}) {behind}"
    return _Rest(rule, is_free=True)


def _beginning(syntax: CallSyntax, tool: CallableTool, opened: str) -> str:
    """The text with which a call of a tool begins, as far as its name."""
    pieces = [*takewhile(lambda piece: not piece.is_hole, syntax.pieces)]
    return opened + "".join(piece.text for piece in pieces) + tool.name


def _more(lark: Lark, syntax: CallSyntax) -> str:
    between = lark.literal(syntax.separator + syntax.open)
    return f"({between} body){{0,{MAX_CALLS - 1}}}"


def _bodies(
    lark: Lark, syntax: CallSyntax, use: ToolUse, loose: Collection[str], opened: str = ""
) -> str:
    """One call of each tool with the literal behind it, as alternatives.

    Args:
        opened: a literal before it, which is to be one with the call's own.
    """
    return " | ".join(_body(lark, syntax, tool, loose, opened) for tool in use.tools)


def _body(
    lark: Lark, syntax: CallSyntax, tool: CallableTool, loose: Collection[str], opened: str
) -> str:
    schema, body = _schema(tool, loose), syntax.body
    closed = syntax.close.replace(NAME_MARK, tool.name)
    if not isinstance(body, JsonCall | NamedCall):
        named = lark.literal(opened + tool.name + body.name_end.replace(NAME_MARK, tool.name))
        return f"{named} {tagged_arguments(lark, body, schema)} {lark.literal(closed)}"
    holes = {"id": _ID, "number": _NUMBER, "arguments": _json_arguments(lark, syntax, schema)}
    parts, text = [], opened
    for piece in syntax.pieces:
        if piece.is_hole and piece.text in holes:
            parts += [lark.literal(text), holes[piece.text]]
            text = ""
        else:
            text += tool.name if piece.is_hole else piece.text.replace(NAME_MARK, tool.name)
    return " ".join([*parts, lark.literal(text + closed)])


def _json_arguments(lark: Lark, syntax: CallSyntax, schema: Mapping[str, Any]) -> str:
    if isinstance(syntax.body, JsonCall) and syntax.body.arguments_are_text:
        return lark.json_text()
    options: dict[str, object] = {
        "whitespace_flexible": False,
        "item_separator": syntax.item_separator,
        "key_separator": syntax.key_separator,
    }
    if "\n" in syntax.item_separator:  # over several lines, with an indent that no rule can say
        options = {"whitespace_flexible": True}
    text = json.dumps({**schema, "x-guidance": options}, ensure_ascii=False)
    return lark.part(Grammar(kind="json_schema", text=text, is_closed=True))


def _schema(tool: CallableTool, loose: Collection[str]) -> Mapping[str, Any]:
    """The schema of a tool's arguments; any object where there is none, or none that holds."""
    schema = tool.parameters
    if not schema or tool.name in loose:
        return {"type": "object"}
    if "type" not in schema or isinstance(schema["type"], list):
        return {**schema, "type": "object"}  # a list may name null, which no call has
    return schema
