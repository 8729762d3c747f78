"""Bodies of the token routes: a prompt or messages, and what does not go together."""

from __future__ import annotations

from typing import Any

import pytest

from serve.api.openai.fields import PROMPT_FIELDS
from serve.api.openai.parsing import parse_body
from serve.api.operations.tokenize_request import DetokenizeRequest, TokenizeRequest
from serve.errors import InvalidRequest, RequestError
from serve.pipeline.events import ChatPrompt, TextPrompt

MESSAGES = [{"role": "user", "content": "Hello"}]
TOOLS = [{"type": "function", "function": {"name": "look_up"}}]


def tokenize(**given: Any) -> TokenizeRequest:
    return parse_body(TokenizeRequest, given, PROMPT_FIELDS)


def test_a_prompt_is_text() -> None:
    assert tokenize(prompt="x").to_prompt() == TextPrompt("x")


def test_messages_are_a_chat_with_its_tools() -> None:
    prompt = tokenize(messages=MESSAGES, tools=TOOLS).to_prompt()
    assert isinstance(prompt, ChatPrompt)
    assert prompt.messages == tuple(MESSAGES)
    assert len(prompt.tools) == 1


@pytest.mark.parametrize(
    ("given", "message", "param"),
    [
        ({}, "Neither prompt nor messages is given", "prompt"),
        ({"prompt": "x", "messages": MESSAGES}, "Both prompt and messages are given", "prompt"),
        ({"prompt": ""}, "prompt is empty", "prompt"),
        (
            {"prompt": "x", "tools": TOOLS},
            "tools is for a conversation: it goes with messages",
            "tools",
        ),
        ({"messages": MESSAGES, "add_special_tokens": True}, "writes its", "add_special_tokens"),
    ],
)
def test_what_does_not_go_together(given: dict[str, Any], message: str, param: str) -> None:
    with pytest.raises(RequestError, match=message) as refused:
        tokenize(**given).to_prompt()
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (TokenizeRequest, "tokens", "tokens is a field of /detokenize: send this body there"),
        (TokenizeRequest, "content", "here it is prompt"),
        (DetokenizeRequest, "prompt", "prompt is a field of /tokenize: send this body there"),
        (DetokenizeRequest, "token_ids", "here it is tokens"),
    ],
)
def test_the_other_routes_body_is_told_where_it_belongs(
    kind: type[TokenizeRequest | DetokenizeRequest], name: str, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        parse_body(kind, {name: "x"}, PROMPT_FIELDS)
    assert refused.value.param == name


def test_more_tokens_than_a_context_are_refused_with_both_numbers() -> None:
    body = parse_body(DetokenizeRequest, {"tokens": [1] * 9}, PROMPT_FIELDS)
    body.check_length(9)
    with pytest.raises(InvalidRequest, match="has 9 ids: at most 8"):
        body.check_length(8)
