"""Chat completions hold the Dialect contract."""

from __future__ import annotations

from typing import Any, ClassVar

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


def test_tools_are_hidden_where_none_may_be_called() -> None:
    tool = {"type": "function", "function": {"name": "look_up"}}
    fields = {"messages": [USER], "tools": [tool]}
    assert len(parsed_of(**fields).tools) == 1
    assert parsed_of(**fields, tool_choice="none").tools == ()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, UNBOUNDED_TOKENS),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 7, "max_completion_tokens": 7}, 7),
        ({"max_tokens": -1}, UNBOUNDED_TOKENS),
        ({"max_completion_tokens": -1.0}, UNBOUNDED_TOKENS),
        ({"max_tokens": -1, "max_completion_tokens": 5}, 5),
        ({"max_tokens": 5.0, "max_completion_tokens": None}, 5),
    ],
)
def test_both_names_of_the_bound_mean_the_same(fields: dict[str, Any], expected: int) -> None:
    generation = ChatCompletions().parse(chat() | fields).generation()
    assert generation.sampling.max_tokens == expected


def test_two_different_bounds_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="max_tokens is 5 and max_completion_tokens is 6"):
        ChatCompletions().parse(chat() | {"max_tokens": 5, "max_completion_tokens": 6}).generation()


def test_top_logprobs_need_logprobs() -> None:
    with pytest.raises(InvalidRequest, match="top_logprobs is 2 and needs logprobs"):
        ChatCompletions().parse(chat() | {"top_logprobs": 2}).generation()
    asked = ChatCompletions().parse(chat() | {"logprobs": True, "top_logprobs": 2})
    assert asked.generation().sampling.num_logprobs == 2


TOOL = {"type": "function", "function": {"name": "look_up"}}


@pytest.mark.parametrize(
    "fields",
    [
        {"parallel_tool_calls": False},
        {"parallel_tool_calls": False, "tools": []},
        {"parallel_tool_calls": False, "tools": [TOOL], "tool_choice": "none"},
        {"parallel_tool_calls": True, "tools": [TOOL]},
        {"tool_choice": "auto"},
        {"tool_choice": "none"},
        {"tool_choice": {}, "tools": {}},
        {"logprobs": False, "top_logprobs": 0},
        {"top_logprobs": 0},
        {"top_logprobs": 0.0, "logprobs": None},
    ],
)
def test_what_asks_for_nothing_is_not_asked_about(fields: dict[str, Any]) -> None:
    asked = ChatCompletions().parse(chat() | fields).generation()
    assert asked.sampling == ChatCompletions().parse(chat()).generation().sampling


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"chat_template": "{{ messages }}"}, "chat_template"),
        ({"verbosity": "low"}, "verbosity"),
        ({"web_search_options": {}}, "web_search_options"),
    ],
)
def test_what_is_not_offered_is_refused_with_one_code(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedField) as refused:
        ChatCompletions().parse(chat() | fields).generation()
    assert refused.value.param == param
