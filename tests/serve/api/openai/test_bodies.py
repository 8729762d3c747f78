"""What asks for nothing is as good as absent, in every field of every route."""

from __future__ import annotations

from typing import Any

import pytest

from serve.api.openai.chat import ChatCompletions, ChatRequest
from serve.api.openai.completions import Completions
from serve.errors import InvalidRequest
from tests.serve.api.house import chat

PROMPT = {"model": "demo", "prompt": "x"}
REQUIRED = {"model", "messages"}


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_an_empty_value_of_any_field_is_as_good_as_absent(value: object) -> None:
    plain = ChatCompletions().parse(chat()).generation()
    for name in [*(ChatRequest.model_fields.keys() - REQUIRED), "never_heard_of", "prompt"]:
        asked = ChatCompletions().parse(chat(**{name: value}))
        assert asked.generation() == plain, name
        assert not asked.is_stream


@pytest.mark.parametrize(
    "name",
    [
        *("stop", "tools", "tool_choice", "logprobs", "logit_bias", "stop_token_ids", "stream"),
        *("stream_options", "response_format", "ignore_eos", "echo", "parallel_tool_calls"),
        "never_heard_of",
    ],
)
def test_false_asks_for_nothing_where_it_is_no_number(name: str) -> None:
    plain = ChatCompletions().parse(chat()).generation()
    assert ChatCompletions().parse(chat(**{name: False})).generation() == plain


@pytest.mark.parametrize("name", ["n", "temperature", "top_p", "seed", "max_tokens", "top_k"])
def test_false_is_no_number(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"not false\.$"):
        ChatCompletions().parse(chat(**{name: False}))


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "best_of": 1, "suffix": None, "echo": False, "logprobs": None},
        {"n": 1.0, "best_of": 1.0, "suffix": "", "logprobs": False, "logit_bias": []},
        {"parallel_tool_calls": False, "tools": [], "tool_choice": "none", "messages": []},
        {"stream": False, "stream_options": {"include_usage": True}, "seed": None},
    ],
)
def test_completions_spell_out_their_defaults_too(fields: dict[str, Any]) -> None:
    plain = Completions().parse(PROMPT).generation()
    assert Completions().parse(PROMPT | fields).generation() == plain


@pytest.mark.parametrize("prompt", [[1.0, 2.0], [1, 2.0], [[1.0], [2, 3e0]]])
def test_token_ids_may_have_a_point(prompt: list[Any]) -> None:
    whole = [list(map(int, ids)) if isinstance(ids, list) else int(ids) for ids in prompt]
    generation = Completions().parse(PROMPT | {"prompt": prompt}).generation()
    assert generation == Completions().parse(PROMPT | {"prompt": whole}).generation()
    assert all(type(i) is int for given in generation.prompts for i in given.token_ids)  # type: ignore[union-attr]
