"""gpt-oss's messages: headers in any order, several of each channel, and what breaks off."""

from __future__ import annotations

import pytest

from serve.pipeline.events import TextDelta
from serve.pipeline.model_dialects.parsing import AnswerParser
from serve.pipeline.model_dialects.table import HARMONY
from tests.serve.pipeline.model_dialects.parsed import one_by_one

MESSAGES = "<|start|>assistant"


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=functions.get <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.get<|message|>",
        " to=functions.get<|channel|>commentary <|constrain|>json<|message|>",
        " to=functions.get<|channel|>commentary json<|message|>",
        "<|channel|>analysis to=functions.get code<|message|>",
    ],
)
@pytest.mark.parametrize("end", ["<|call|>", "<|end|>", ""])
def test_harmony_headers_in_any_order(header: str, end: str) -> None:
    call = f'{header}{{"days": 2}}{end}'
    text = f"<|channel|>analysis<|message|>Hm.<|end|>{MESSAGES}{call}"
    seen = one_by_one(HARMONY, text)
    assert (seen.reasoning, seen.content, seen.reason) == ("Hm.", "", "tool_calls")
    assert seen.calls == [("get", '{"days": 2}')]


def test_harmony_messages_in_a_row() -> None:
    text = (
        "<|channel|>analysis<|message|>One.<|end|>"
        f"{MESSAGES}<|channel|>commentary<|message|>I look.<|end|>"
        f"{MESSAGES}<|channel|>analysis<|message|>Two.<|end|>"
        f"{MESSAGES}<|channel|>commentary to=functions.f <|constrain|>json<|message|><|call|>"
        f"{MESSAGES}<|channel|>final<|message|>Done.<|return|>"
    )
    seen = one_by_one(HARMONY, text)
    assert seen.texts == [
        ("reasoning", "One."),
        ("content", "I look."),
        ("reasoning", "Two."),
        ("content", "Done."),
    ]
    assert seen.calls == [("f", "{}")]
    alone = one_by_one(HARMONY, text, is_parallel=False)
    assert (alone.calls, alone.reason) == ([("f", "{}")], "tool_calls")
    assert "Done." not in alone.content


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("Hi there.", "Hi there.", []),
        ("<|channel|>final", "", []),
        ("<|channel|>final<|message|>Hi<|e", "Hi<|e", []),
        (f"<|channel|>final<|message|>Hi<|end|>{MESSAGES}<|chan", "Hi", []),
        (f"<|channel|>final<|message|>Hi<|end|>{MESSAGES}", "Hi", []),
        (f"<|channel|>final<|message|>Hi<|end|>{MESSAGES}<|channel|>analysis", "Hi", []),
        ("<|channel|>commentary to=functions.f<|message|>{", "", [("f", "{")]),
    ],
)
def test_harmony_that_breaks_off(text: str, content: str, calls: list[tuple[str, str]]) -> None:
    seen = one_by_one(HARMONY, text, reason="length")
    if "<|chan" in text[-8:]:
        content += "assistant<|chan"  # a name in plain letters that is not whole is none
    assert (seen.content, seen.calls, seen.reason) == (content, calls, "length")


def test_harmony_without_frames_is_told_as_it_comes() -> None:
    parser = AnswerParser(index=0, dialect=HARMONY)
    events = parser.feed([TextDelta(index=0, text="word " * 200)])
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "word " * 200


def test_harmony_calls_nothing_where_there_are_no_tools() -> None:
    text = '<|channel|>commentary to=functions.f<|message|>{"a": 1}<|call|>'
    seen = one_by_one(HARMONY, text, tools=None)
    assert (seen.content, seen.calls, seen.reason) == ('{"a": 1}', [], "stop")
