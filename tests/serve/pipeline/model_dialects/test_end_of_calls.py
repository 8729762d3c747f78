"""The end of calls: a model that writes the space before a next call need not make one."""

from __future__ import annotations

from dataclasses import replace

import llguidance
import pytest

from serve.engine.grammars.serialised import serialised
from serve.pipeline.events import CallableTool, ToolUse
from serve.pipeline.model_dialects.dialect import CallSyntax, JsonCall, ModelDialect, Piece
from serve.pipeline.model_dialects.grammars import Wish, grammar_of

CALL = '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'
PIECES = (
    Piece('{"name": "'),
    Piece("name", is_hole=True),
    Piece('", "arguments": '),
    Piece("arguments", is_hole=True),
    Piece("}"),
)
CALLS = CallSyntax(
    open="<tool_call>\n",
    body=JsonCall(name=("name",), arguments=("arguments",)),
    pieces=PIECES,
    close="\n</tool_call>",
    separator="\n",
)


def may_end(written: str, *, is_parallel: bool, section_close: str = "") -> bool | None:
    """Whether an answer may end here; None where it may not be written at all."""
    syntax = replace(CALLS, section_close=section_close)
    tools = (CallableTool(name="look", parameters={"type": "object", "properties": {}}),)
    wish = Wish(tool_use=ToolUse(tools=tools, is_required=True, is_parallel=is_parallel))
    dialect = ModelDialect(name="tags", source="derived", calls=syntax)
    grammar = grammar_of(dialect, wish, tokens={})
    assert grammar
    matcher = llguidance.LLMatcher(llguidance.LLTokenizer("byte"), serialised(grammar))
    ids = list(written.encode())
    return matcher.is_accepting() if matcher.try_consume_tokens(ids) == len(ids) else None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (CALL, True),
        (CALL + "\n", True),
        (CALL + "\n" + CALL, True),
        (CALL + "\n" + CALL + "\n", True),
        (CALL + "\n" * 5, None),
        (CALL + "\nand", None),
        (CALL[:-1], False),
    ],
)
def test_after_calls_and_the_space_behind_them(written: str, expected: bool | None) -> None:
    assert may_end(written, is_parallel=True) is expected


def test_one_call_alone_ends_at_its_close() -> None:
    assert may_end(CALL, is_parallel=False)
    assert may_end(CALL + "\n", is_parallel=False)
    assert may_end(CALL + "\n" + CALL, is_parallel=False) is None


def test_a_section_ends_by_its_own_literal() -> None:
    assert may_end(CALL + "</calls>", is_parallel=True, section_close="</calls>")
    assert may_end(CALL + "\n", is_parallel=True, section_close="</calls>") is False
