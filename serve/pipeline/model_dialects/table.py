"""The few families whose dialect no rendering shows, or whose models write something else.

Each is known by tokens that no other family has, and can be named by ``--tool-dialect``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from serve.pipeline.model_dialects.dialect import (
    CallSyntax,
    JsonCall,
    ModelDialect,
    NamedCall,
    Piece,
    ReasoningSyntax,
    TaggedCall,
)

_NAME, _ARGUMENTS = Piece("name", is_hole=True), Piece("arguments", is_hole=True)


def _json_pieces(name: str, arguments: str) -> tuple[Piece, ...]:
    return (
        Piece(f'{{"{name}": "'),
        _NAME,
        Piece(f'", "{arguments}": '),
        _ARGUMENTS,
        Piece("}"),
    )


HERMES = ModelDialect(
    name="hermes",
    source="table",
    reasoning=ReasoningSyntax(open="<think>\n", close="\n</think>\n\n"),
    calls=CallSyntax(
        open="<tool_call>\n",
        body=JsonCall(name=("name",), arguments=("arguments",)),
        pieces=_json_pieces("name", "arguments"),
        close="\n</tool_call>",
        separator="\n",
        lead="\n",
    ),
)
"""Qwen's and NousResearch's: the most common form, for templates that show none."""

LLAMA_JSON = ModelDialect(
    name="llama_json",
    source="table",
    calls=CallSyntax(
        body=JsonCall(name=("name",), arguments=("parameters",)),
        pieces=_json_pieces("name", "parameters"),
        separator="; ",
    ),
)
"""Llama 3.1 to 3.3: a bare object."""

PYTHONIC = ModelDialect(
    name="pythonic",
    source="table",
    calls=CallSyntax(
        section_open="[",
        body=TaggedCall(
            name_end="(",
            key_open="",
            key_end="=",
            value_end="",
            separator=", ",
            quote='"',
        ),
        close=")",
        separator=", ",
        section_close="]",
    ),
)
"""Calls as in Python: ``[f(a=1), g()]``."""

KIMI = ModelDialect(
    name="kimi_k2",
    source="table",
    reasoning=ReasoningSyntax(open="<think>", close="</think>"),
    calls=CallSyntax(
        section_open="<|tool_calls_section_begin|>",
        open="<|tool_call_begin|>functions.",
        body=NamedCall(name_end=":", id_end="<|tool_call_argument_begin|>"),
        pieces=(
            _NAME,
            Piece(":"),
            Piece("number", is_hole=True),
            Piece("<|tool_call_argument_begin|>"),
            _ARGUMENTS,
        ),
        close="<|tool_call_end|>",
        section_close="<|tool_calls_section_end|>",
    ),
)
"""Moonshot's: the name stands in the call's id alone."""

HARMONY = ModelDialect(
    name="harmony",
    source="table",
    reasoning=ReasoningSyntax(
        open="<|channel|>analysis<|message|>", close="<|end|><|start|>assistant"
    ),
    calls=CallSyntax(
        open="<|channel|>commentary to=functions.",
        body=NamedCall(name_end=" <|constrain|>json<|message|>"),
        pieces=(_NAME, Piece(" <|constrain|>json<|message|>"), _ARGUMENTS),
    ),
    content_open="<|channel|>final<|message|>",
    has_either=True,
    frame="harmony",
)
"""gpt-oss: a turn is several messages, each with a channel."""

DIALECTS: Mapping[str, ModelDialect] = {
    dialect.name: dialect for dialect in (HERMES, LLAMA_JSON, PYTHONIC, KIMI, HARMONY)
}

_MARKERS: tuple[tuple[tuple[str, ...], ModelDialect], ...] = (
    (("<|channel|>", "<|constrain|>", "<|call|>"), HARMONY),
    (("<|tool_calls_section_begin|>", "<|tool_call_argument_begin|>"), KIMI),
)


def of_markers(template: str, tokens: Mapping[str, int]) -> ModelDialect | None:
    """The dialect whose own tokens a model has and its template speaks of."""
    for names, dialect in _MARKERS:
        if all(name in tokens for name in names) and any(name in template for name in names):
            reasoning = dialect.reasoning
            if (
                reasoning is not None
                and dialect.frame == "plain"
                and reasoning.close not in template
            ):
                return replace(dialect, reasoning=None)  # a family's older models do not think
            return dialect
    return None
