"""What a client says of how a conversation is rendered."""

from __future__ import annotations

from typing import Any

import pytest

from serve.api.openai.chat import ChatCompletions
from serve.api.openai.template_fields import MAX_OPTION_CHARS, MAX_OPTIONS, OURS
from serve.errors import InvalidRequest
from serve.pipeline.events import ChatPrompt
from tests.serve.api.house import chat, house, pipeline_of

USER = {"role": "user", "content": "Hello"}
BEGUN = {"role": "assistant", "content": "It is"}


def prompt_of(**fields: Any) -> ChatPrompt:
    (prompt,) = ChatCompletions().parse(chat(**fields)).generation().prompts
    assert isinstance(prompt, ChatPrompt)
    return prompt


def test_variables_are_handed_to_the_template() -> None:
    given = {"style": "short", "depth": 3, "flags": [True, None, {"a": 1.5}]}
    assert prompt_of(chat_template_kwargs=given).options == given
    assert prompt_of(chat_template_kwargs={}).options == {}
    both = prompt_of(reasoning_effort="low", chat_template_kwargs={"enable_thinking": True})
    assert both.options == {"enable_thinking": True, "thinking": True, "reasoning_effort": "low"}


def test_documents_are_one_of_them() -> None:
    documents = [{"title": "a", "text": "b"}]
    assert prompt_of(documents=documents).options == {"documents": documents}
    assert prompt_of(documents=[]).options == {}


def test_ends_of_a_prompt() -> None:
    assert prompt_of().opens_answer
    assert prompt_of(add_generation_prompt=True).opens_answer
    assert not prompt_of(add_generation_prompt=False).opens_answer
    for fields in ({}, {"add_generation_prompt": False}):
        prompt = prompt_of(messages=[USER, BEGUN], continue_final_message=True, **fields)
        assert prompt.continues_last
        assert not prompt.opens_answer
    assert not prompt_of(continue_final_message=False).continues_last


@pytest.mark.parametrize("name", [*sorted(OURS), "bos_token", "eos_token", "image_token"])
def test_what_the_server_sets_no_client_does(name: str) -> None:
    with pytest.raises(InvalidRequest, match="is set by the server") as refused:
        prompt_of(chat_template_kwargs={name: "x"})
    assert refused.value.param == f"chat_template_kwargs.{name}"


CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
}


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"chat_template_kwargs": "x"}, "chat_template_kwargs", "must be an object"),
        ({"chat_template_kwargs": {"a b": 1}}, "chat_template_kwargs", "no template can read"),
        ({"chat_template_kwargs": {"_a": 1}}, "chat_template_kwargs", "no template can read"),
        ({"chat_template_kwargs": {"a" * 65: 1}}, "chat_template_kwargs", "at most 64"),
        (
            {"chat_template_kwargs": {f"a{i}": 1 for i in range(MAX_OPTIONS + 1)}},
            "chat_template_kwargs",
            f"has 65 names: at most {MAX_OPTIONS}",
        ),
        (
            {"chat_template_kwargs": {"a": "x" * MAX_OPTION_CHARS}},
            "chat_template_kwargs",
            f"at most {MAX_OPTION_CHARS}",
        ),
        (
            {"enable_thinking": True, "chat_template_kwargs": {"enable_thinking": False}},
            "chat_template_kwargs.enable_thinking",
            "than another field does",
        ),
        ({"documents": ["x"]}, "documents[0]", "must be an object"),
        (
            {
                "messages": [USER, BEGUN],
                "continue_final_message": True,
                "add_generation_prompt": True,
            },
            "continue_final_message",
            "are both true",
        ),
        ({"continue_final_message": True}, "continue_final_message", "of the role assistant"),
        (
            {"messages": [USER, CALLED], "continue_final_message": True},
            "continue_final_message",
            "without tool calls",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(
    fields: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        prompt_of(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize("path", ["/tokenize", "/v1/chat/completions"])
async def test_a_variable_that_no_template_reads_is_refused_over_the_wire(path: str) -> None:
    home = house(pipeline_of())
    async with home.client() as client:
        hint = await client.post(path, json=chat(enable_thinking=False))
        assert hint.status_code == 200
        unread = await client.post(path, json=chat(chat_template_kwargs={"stile": 1}))
        assert unread.status_code == 400
        assert unread.json()["error"]["param"] == "chat_template_kwargs.stile"
        documents = await client.post(path, json=chat(documents=[{"text": "x"}]))
        assert documents.json()["error"]["code"] == "unsupported_parameter"


async def test_a_prompt_has_no_template() -> None:
    async with house().client() as client:
        for name, value in (("chat_template_kwargs", {"a": 1}), ("continue_final_message", True)):
            for path in ("/tokenize", "/v1/completions"):
                body = {"model": "demo", "prompt": "x", name: value}
                refused = await client.post(path, json=body)
                assert refused.status_code == 400
                assert refused.json()["error"]["param"] == name
