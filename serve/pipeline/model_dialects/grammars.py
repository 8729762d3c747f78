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
from typing import Any

from serve.engine.grammars.grammar import Grammar
from serve.pipeline.events import CallableTool, ReasoningUse, ToolUse
from serve.pipeline.model_dialects.dialect import (
    CallSyntax,
    JsonCall,
    ModelDialect,
    NamedCall,
    ReasoningSyntax,
)
from serve.pipeline.model_dialects.lark import Lark
from serve.pipeline.model_dialects.tagged_grammars import tagged_arguments

_ID = "/[a-zA-Z0-9]{9}/"
_NUMBER = "/[0-9]{1,3}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a request asks of an answer.

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
    if rest is None:  # calls without anything to know them by: they cannot be held to anything
        return None
    lark.rule("start", f"{_reasoning(lark, dialect.reasoning, wish, rest)}")
    return lark.grammar()


def _reasoning(lark: Lark, syntax: ReasoningSyntax | None, wish: Wish, rest: str) -> str:
    """The rest, with reasoning before it where there may be some."""
    if syntax is None:
        return rest
    budget = wish.reasoning.max_tokens
    closed = syntax.close.strip()
    tail = syntax.close[len(syntax.close.rstrip()) :]
    thought = lark.up_to(closed, max_tokens=budget)
    behind = lark.literal(tail) if tail and rest != "text" else ""
    if wish.is_thinking:
        return f"{thought} {behind} {rest}"
    opened = syntax.open.strip()
    if budget is not None and rest == "text":
        # Else the reasoning could pass for content, which has no bound.
        return f"({lark.literal(opened)} {thought} {rest} | {lark.text_not_beginning_with(opened)})"
    return f"({lark.literal(opened)} {thought} {behind})? {rest}"


def _rest(lark: Lark, dialect: ModelDialect, wish: Wish, loose: Collection[str]) -> str | None:
    """What comes after the reasoning; None where it cannot be said."""
    content = lark.text() if wish.format is None else lark.part(wish.format)
    if dialect.content_open:
        closed = lark.literal(dialect.content_close) if wish.format is not None else ""
        content = f"{lark.literal(dialect.content_open)} {content} {closed}"
    use, syntax = wish.tool_use, dialect.calls
    if use is None or syntax is None:
        return content
    lark.rule("body", " | ".join(_bodies(lark, syntax, use, loose)))
    more = _more(lark, syntax) if use.is_parallel else ""
    behind = f"body {lark.literal(syntax.close)} {more} {_end(lark, syntax, more)}"
    opened = (syntax.section_open + syntax.open).lstrip()
    if use.is_required:
        return f"{lark.literal(opened)} {behind}"
    if wish.format is not None or dialect.has_either:
        return f"({content} | {lark.literal(opened)} {behind})"
    if syntax.trigger:
        return f"({content} | {lark.up_to(opened)} {behind})"
    first = syntax.pieces[0].text if syntax.pieces and isinstance(syntax.body, JsonCall) else ""
    if not first.strip():
        return None
    return f"({lark.text_not_beginning_with(first)} | {behind})"


def _more(lark: Lark, syntax: CallSyntax) -> str:
    between = lark.literal(syntax.separator + syntax.open)
    return f"({between} body {lark.literal(syntax.close)})*"


def _end(lark: Lark, syntax: CallSyntax, more: str) -> str:
    """What closes the calls.

    A model may write the space before a next call and then none: it ends there, or the space would
    force it to call for as long as it may write.
    """
    if syntax.section_close or not more:
        return lark.literal(syntax.section_close)
    between = syntax.separator + syntax.open
    space = between[: len(between) - len(between.lstrip())]
    return f"({lark.literal(space)})?" if space else ""


def _bodies(lark: Lark, syntax: CallSyntax, use: ToolUse, loose: Collection[str]) -> list[str]:
    """One call of each tool."""
    return [_body(lark, syntax, tool, loose) for tool in use.tools]


def _body(lark: Lark, syntax: CallSyntax, tool: CallableTool, loose: Collection[str]) -> str:
    schema = _schema(tool, loose)
    body = syntax.body
    if isinstance(body, JsonCall | NamedCall):
        holes = {
            "name": lark.literal(tool.name),
            "id": _ID,
            "number": _NUMBER,
            "arguments": _json_arguments(lark, syntax, schema),
        }
        parts = [
            holes[piece.text] if piece.is_hole else lark.literal(piece.text)
            for piece in syntax.pieces
        ]
        return " ".join(parts)
    return f"{lark.literal(tool.name + body.name_end)} {tagged_arguments(lark, body, schema)}"


def _json_arguments(lark: Lark, syntax: CallSyntax, schema: Mapping[str, Any]) -> str:
    if isinstance(syntax.body, JsonCall) and syntax.body.arguments_are_text:
        return lark.json_text()
    options = {
        "whitespace_flexible": False,
        "item_separator": syntax.item_separator,
        "key_separator": syntax.key_separator,
    }
    text = json.dumps({**schema, "x-guidance": options}, ensure_ascii=False)
    return lark.part(Grammar(kind="json_schema", text=text, is_closed=True))


def _schema(tool: CallableTool, loose: Collection[str]) -> Mapping[str, Any]:
    """The schema of a tool's arguments; any object where there is none, or none that holds."""
    schema = tool.parameters
    if not schema or tool.name in loose:
        return {"type": "object"}
    return schema if schema.get("type") == "object" else {"type": "object", **schema}
