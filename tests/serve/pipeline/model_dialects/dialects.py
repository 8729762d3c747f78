"""Dialects that tests read by, and texts that are made of their words."""

from __future__ import annotations

from hypothesis import strategies as st

from serve.pipeline.model_dialects.dialect import (
    NO_DIALECT,
    CallSyntax,
    JsonCall,
    ModelDialect,
    NamedCall,
    ReasoningSyntax,
    TaggedCall,
)
from serve.pipeline.model_dialects.marks import marked
from serve.pipeline.model_dialects.table import DIALECTS

TAGGED = ModelDialect(
    name="tagged",
    source="derived",
    reasoning=ReasoningSyntax(open="<think>\n", close="\n</think>\n\n"),
    calls=CallSyntax(
        open="<tool_call>\n<function=",
        body=TaggedCall(
            name_end=">\n", key_open="<parameter=", key_end=">\n", value_end="\n</parameter>\n"
        ),
        close="</function>\n</tool_call>",
        separator="\n",
        lead="\n",
    ),
)
BARE_NAMED = ModelDialect(
    name="named",
    source="derived",
    calls=CallSyntax(body=NamedCall(name_end="\n"), separator="\n"),
)
LISTED = ModelDialect(
    name="listed",
    source="derived",
    calls=CallSyntax(
        section_open="[TOOL_CALLS][",
        body=JsonCall(name=("name",), arguments=("arguments",), id=("id",)),
        separator=", ",
        section_close="]",
    ),
    content_open="<reply>",
    content_close="</reply>",
)
SPECIAL = {
    name: number
    for number, name in enumerate(
        ["<think>", "</think>", "<tool_call>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>"]
    )
}
ALL = {
    **DIALECTS,
    "tagged": TAGGED,
    "named": BARE_NAMED,
    "listed": LISTED,
    "none": NO_DIALECT,
}
MARKS = {name: marked(dialect, SPECIAL) for name, dialect in ALL.items()}


def literals(dialect: ModelDialect) -> list[str]:
    """What a dialect's answers are made of, whole and in halves."""
    calls, reasoning = dialect.calls, dialect.reasoning
    texts = [dialect.content_open, dialect.content_close]
    if reasoning is not None:
        texts += [reasoning.open, reasoning.close]
    if calls is not None:
        texts += [calls.section_open, calls.open, calls.close, calls.separator]
        texts += [calls.section_close, *(piece.text for piece in calls.pieces)]
        body = calls.body
        if isinstance(body, TaggedCall):
            texts += [body.name_end, body.key_open, body.key_end, body.value_end]
        elif isinstance(body, NamedCall):
            texts += [body.name_end, body.id_end or ""]
    whole = [text for text in texts if text]
    return whole + [text[: len(text) // 2 + 1] for text in whole]


def texts_of(name: str) -> st.SearchStrategy[str]:
    """Texts that are made of a dialect's own words."""
    dialect, marks = MARKS[name]
    words = [*literals(dialect), *marks.values(), *"{}[]()<>\"':,=\\ \n`a1", "get", "f", "null"]
    words += ['{"name": "get", "arguments": ', '{"city": "Köln"}', "{}", '"name"', "```json\n"]
    words += ["<|end|>", "<|start|>assistant", "to=functions.get", "analysis", "final", "\\ud800"]
    return st.lists(st.sampled_from(words), max_size=20).map("".join)


OPTIONS = st.fixed_dictionaries(
    {
        "is_parallel": st.booleans(),
        "is_thinking": st.booleans(),
        "shows_reasoning": st.booleans(),
        "reason": st.sampled_from(["stop", "length"]),
    }
)
