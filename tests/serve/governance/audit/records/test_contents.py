"""Documents of contents: all that was asked and answered, in bytes that do not change."""

from __future__ import annotations

import json

import pytest

from serve.api.openai.chat import ChatCompletions
from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import SamplingParams
from serve.errors import EngineDeadError
from serve.governance.audit.records.contents import (
    add_to,
    answer_document,
    num_chars,
    piece_document,
    prompt_document,
)
from serve.pipeline.answer import Answer
from serve.pipeline.events import (
    CacheExplained,
    Event,
    FillPrompt,
    Finished,
    Generation,
    PromptTokens,
    TextDelta,
    TextPrompt,
    TokenIds,
    TokensPrompt,
    ToolCallDelta,
)
from tests.serve.api.house import chat


def test_a_chat_is_told_with_its_tools_and_what_it_forbids() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    body = chat("hello", tools=tools, stop=["END"], logit_bias={"7": 1})
    document = json.loads(prompt_document(ChatCompletions().parse(body).generation()))
    (prompt,) = document["prompts"]
    assert prompt["kind"] == "chat"
    assert prompt["messages"] == [{"role": "user", "content": "hello"}]
    assert prompt["tools"][0]["function"]["name"] == "f"
    assert document["stop"] == ["END"]
    assert document["logit_bias"] == {"7": 1.0}
    assert document["tool_use"]["tools"][0]["name"] == "f"


def test_every_kind_of_prompt_is_told_and_the_same_twice() -> None:
    generation = Generation(
        prompts=(TextPrompt("a\ud800"), FillPrompt("b", "c"), TokensPrompt((1, 2))),
        sampling=SamplingParams(max_tokens=1),
        format=Grammar(kind="choice", choices=("x", "y")),
        bad_words=("bad",),
    )
    raw = prompt_document(generation)
    document = json.loads(raw)
    assert [prompt["kind"] for prompt in document["prompts"]] == ["text", "fill", "tokens"]
    assert document["prompts"][2]["token_ids"] == [1, 2]
    assert document["format"]["choices"] == ["x", "y"]
    assert prompt_document(generation) == raw


def test_an_answer_is_told_as_a_whole() -> None:
    answer = Answer()
    for event in (
        TextDelta(index=0, text="think", channel="reasoning"),
        TextDelta(index=0, text="Hel"),
        TextDelta(index=0, text="lo"),
        ToolCallDelta(index=0, call=0, call_id="c", name="f", arguments="{"),
        ToolCallDelta(index=0, call=0, arguments="}"),
        TokenIds(index=0, token_ids=(7,)),
        Finished(index=0, reason="tool_calls"),
        TextDelta(index=1, text="half"),
        Finished(index=1, reason="error", error=EngineDeadError("dead")),
    ):
        add_to(answer, event)
    first, second = json.loads(answer_document(answer.choices))["choices"]
    assert (first["reasoning"], first["content"], first["finish"]) == (
        "think", "Hello", "tool_calls"
    )  # fmt: skip
    assert first["calls"] == [{"name": "f", "arguments": "{}"}]
    assert first["tokens"] == [7]
    assert second["content"] == "half"


@pytest.mark.parametrize(
    ("event", "chars", "told"),
    [
        (TextDelta(index=1, text="abc"), 3, {"choice": 1, "content": "abc"}),
        (
            ToolCallDelta(index=0, call=2, name="f", arguments="{}"), 2,
            {"choice": 0, "call": 2, "name": "f", "arguments": "{}"},
        ),
        (TokenIds(index=0, token_ids=(1,)), 0, {"choice": 0, "tokens": [1]}),
        (PromptTokens(prompt=0, token_ids=(1,)), 0, {"prompt": 0, "tokens": [1]}),
        (Finished(index=0, reason="stop"), 0, None),
        (
            CacheExplained(
                prompt=0, cause="hit", token=0, prompt_tokens=1, known_tokens=0, cached_tokens=0
            ), 0, None,
        ),
    ],
)  # fmt: skip
def test_a_piece_is_what_is_released(event: Event, chars: int, told: object) -> None:
    assert num_chars(event) == chars
    raw = piece_document(event)
    assert (json.loads(raw) if raw else None) == told
