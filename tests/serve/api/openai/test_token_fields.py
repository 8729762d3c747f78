"""Fields that speak of tokens, in the pipeline's words, and what asks for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from serve.api.openai.chat import ChatCompletions
from serve.api.openai.completions import Completions
from serve.errors import InvalidRequest
from serve.pipeline.events import UNBOUNDED_TOKENS, Generation
from tests.serve.api.house import chat

TEXT = {"model": "demo", "prompt": "a", "max_tokens": 9}


def generations_of(**fields: Any) -> list[Generation]:
    chats, texts = ChatCompletions(), Completions()
    return [chats.parse(chat(**fields)).generation(), texts.parse(TEXT | fields).generation()]


@pytest.mark.parametrize(
    ("fields", "meant"),
    [
        ({"bad_words": ["a", "b"]}, {"bad_words": ("a", "b")}),
        ({"include_stop_str_in_output": True}, {"keeps_stop": True}),
        ({"skip_special_tokens": False}, {"shows_special": True}),
        ({"return_token_ids": True}, {"wants_token_ids": True}),
        ({"truncate_prompt_tokens": 5}, {"truncates_to": 5}),
        ({"truncate_prompt_tokens": -1}, {"truncates_to": UNBOUNDED_TOKENS}),
        ({"truncate_prompt_tokens": 5.0, "truncation_side": "right"}, {"truncates_end": True}),
        (
            {"stream": True, "stream_options": {"continuous_usage_stats": True}},
            {"wants_token_ids": True},
        ),
    ],
)
def test_what_they_say_of_a_generation(fields: dict[str, Any], meant: dict[str, Any]) -> None:
    for generation in generations_of(**fields):
        assert {name: getattr(generation, name) for name in meant} == meant


@pytest.mark.parametrize(
    ("fields", "meant"),
    [
        ({"min_tokens": 3}, {"min_tokens": 3}),
        ({"allowed_token_ids": [1, 2.0, 1]}, {"allowed_token_ids": frozenset({1, 2})}),
        ({"prompt_logprobs": 0}, {"num_prompt_logprobs": 0}),
        ({"prompt_logprobs": 20}, {"num_prompt_logprobs": 20}),
    ],
)
def test_what_they_say_of_sampling(fields: dict[str, Any], meant: dict[str, Any]) -> None:
    for generation in generations_of(**fields):
        sampling = generation.sampling
        assert {name: getattr(sampling, name) for name in meant} == meant


@pytest.mark.parametrize(
    "fields",
    [
        {"min_tokens": 0, "bad_words": [], "allowed_token_ids": None},
        {"bad_words": False, "allowed_token_ids": False, "prompt_logprobs": False},
        {"skip_special_tokens": True, "spaces_between_special_tokens": True},
        {"spaces_between_special_tokens": False, "include_stop_str_in_output": False},
        {"truncate_prompt_tokens": None, "truncation_side": "left", "return_token_ids": False},
        {"stream_options": {"continuous_usage_stats": True}},
        {"return_tokens_as_token_ids": True},
    ],
)
def test_what_changes_no_token_is_the_same_generation(fields: dict[str, Any]) -> None:
    assert generations_of(**fields) == generations_of()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"min_tokens": -1}, "min_tokens"),
        ({"bad_words": "x"}, "bad_words"),
        ({"bad_words": ["x", ""]}, "bad_words[1]"),
        ({"allowed_token_ids": ["1"]}, "allowed_token_ids[0]"),
        ({"prompt_logprobs": 21}, "prompt_logprobs"),
        ({"prompt_logprobs": -1}, "prompt_logprobs"),
        ({"truncate_prompt_tokens": -2}, "truncate_prompt_tokens"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        ({"truncation_side": "both"}, "truncation_side"),
        ({"skip_special_tokens": 0}, "skip_special_tokens"),
    ],
)
def test_what_is_out_of_range_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        generations_of(**fields)
    assert refused.value.param == param
