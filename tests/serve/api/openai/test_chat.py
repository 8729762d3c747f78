"""Chat completions hold the Dialect contract."""

from __future__ import annotations

from typing import ClassVar

import pytest

from serve.api.dialect import Dialect
from serve.api.openai.chat import ChatCompletions
from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.events import UNBOUNDED_TOKENS, ChatPrompt
from tests.contracts.dialect import DialectContract
from tests.serve.api.house import chat, error_code_of, events_of

USER = {"role": "user", "content": "Hello"}


class TestChatCompletions(DialectContract):
    dialect: Dialect = ChatCompletions()
    body: ClassVar = chat()

    def content_of(self, raw: bytes) -> str:
        events = events_of(raw.decode())
        assert events[-1] == "[DONE]"
        deltas = [choice["delta"] for event in events[:-1] for choice in event["choices"]]
        assert deltas[0]["role"] == "assistant"
        return "".join(delta.get("content") or "" for delta in deltas)

    def error_of(self, raw: bytes) -> str:
        return error_code_of(raw)


def parsed_of(**fields: object) -> ChatPrompt:
    (prompt,) = ChatCompletions().parse({"model": "demo", **fields}).generation().prompts
    assert isinstance(prompt, ChatPrompt)
    return prompt


def test_a_developers_message_is_a_systems() -> None:
    message = {"role": "developer", "content": "Be brief."}
    assert parsed_of(messages=[message, USER]).messages[0]["role"] == "system"


def test_parts_of_text_are_joined_by_line_breaks() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    (message,) = parsed_of(messages=[{"role": "user", "content": parts}]).messages
    assert message["content"] == "one\ntwo"


def test_an_assistants_message_needs_content_or_tool_calls() -> None:
    with pytest.raises(InvalidRequest, match="content, tool_calls or both") as refused:
        parsed_of(messages=[USER, {"role": "assistant"}])
    assert refused.value.param == "messages.1.content"


def test_tools_are_hidden_where_none_may_be_called() -> None:
    tool = {"type": "function", "function": {"name": "look_up"}}
    fields = {"messages": [USER], "tools": [tool]}
    assert len(parsed_of(**fields).tools) == 1
    assert parsed_of(**fields, tool_choice="none").tools == ()


def test_a_strict_tool_is_refused() -> None:
    tool = {"type": "function", "function": {"name": "look_up", "strict": True}}
    with pytest.raises(UnsupportedField) as refused:
        parsed_of(messages=[USER], tools=[tool])
    assert refused.value.param == "tools.0.function.strict"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, UNBOUNDED_TOKENS),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 7, "max_completion_tokens": 7}, 7),
    ],
)
def test_both_names_of_the_bound_mean_the_same(fields: dict[str, int], expected: int) -> None:
    generation = ChatCompletions().parse(chat() | fields).generation()
    assert generation.sampling.max_tokens == expected


def test_two_different_bounds_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="max_tokens is 5 and max_completion_tokens is 6"):
        ChatCompletions().parse(chat() | {"max_tokens": 5, "max_completion_tokens": 6}).generation()


def test_top_logprobs_need_logprobs() -> None:
    with pytest.raises(InvalidRequest, match="top_logprobs needs logprobs"):
        ChatCompletions().parse(chat() | {"top_logprobs": 2}).generation()
    asked = ChatCompletions().parse(chat() | {"logprobs": True, "top_logprobs": 2})
    assert asked.generation().sampling.num_logprobs == 2
