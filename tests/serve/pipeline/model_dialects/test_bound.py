"""A dialect together with a tokenizer."""

from __future__ import annotations

from dataclasses import replace

from serve.pipeline.model_dialects.bound import UNBOUND, bind
from serve.pipeline.model_dialects.table import HARMONY, HERMES, LLAMA_JSON


def test_marks_are_known_by_the_ids_of_their_tokens() -> None:
    bound = bind(HERMES, tokens={"<think>": 7, "<tool_call>": 8}, special={"<think>": 7})
    assert bound.marks_by_id == {7: bound.marks["<think>"]}
    assert bound.dialect == HERMES
    assert bound.marked != HERMES


def test_an_answer_is_plain_where_nothing_stands_around_content() -> None:
    assert UNBOUND.is_plain
    for dialect, is_plain in (
        (LLAMA_JSON, True),
        (HERMES, False),
        (HARMONY, False),
        (replace(LLAMA_JSON, content_open="<reply>"), False),
        (replace(LLAMA_JSON, content_close="</reply>"), False),
    ):
        assert bind(dialect, tokens={}, special={}).is_plain is is_plain
