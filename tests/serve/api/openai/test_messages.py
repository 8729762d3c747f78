"""Messages as clients echo them: what is dropped, what is kept, and what is still refused."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage

from serve.api.openai.chat import ChatCompletions
from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.events import ChatPrompt
from tests.serve.api.house import CHAT, chat, house

USER = {"role": "user", "content": "Hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
NOTE = {"cache_control": {"type": "ephemeral"}}


def prompt_of(*messages: dict[str, Any], **fields: Any) -> ChatPrompt:
    (prompt,) = (
        ChatCompletions().parse(chat(messages=list(messages), **fields)).generation().prompts
    )
    assert isinstance(prompt, ChatPrompt)
    return prompt


def message_of(**message: Any) -> Any:
    """What a template sees of one message, behind a user's."""
    return prompt_of(USER, message).messages[1]


def answered(content: Any = "4", **fields: Any) -> Any:
    return message_of(role="assistant", content=content, **fields)


PLAIN = {"role": "assistant", "content": "4"}
DUMPED = ChatCompletionMessage(role="assistant", content="4").model_dump(
    exclude={"role", "content"}
)


@pytest.mark.parametrize(
    "extra",
    [
        {**DUMPED},
        {"annotations": None, "refusal": None, "audio": None, "function_call": None},
        {"tool_calls": [], "annotations": [], "parsed": None, "name": None, "tool_call_id": None},
        {"name": "", "refusal": "", "audio": {}, "function_call": {}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "y"}], "thinking": "y"},
        {"thinking_blocks": [{"type": "thinking", "thinking": "y", "signature": "z"}]},
        {"provider_specific_fields": {"a": 1}, "images": [], "reasoning": None},
        {"id": "m1", "object": "chat.completion", "created": 1, "model": "x", "usage": {"a": 1}},
        {"type": "message", "status": "completed", "index": 0, "logprobs": {"content": []}},
        {"finish_reason": "stop", "stop_reason": None, "timestamp": 1.5, "metadata": {"a": 1}},
        {"additional_kwargs": {}, "response_metadata": {"a": 1}, "example": False},
        {"reasoning_text": "y", "reasoning_opaque": "z", "copilot_cache_control": {"type": "x"}},
        {"invalid_tool_calls": [], "usage_metadata": {"input_tokens": 1}},
        {"parsed": {"answer": 4}, "annotations": [{"type": "url_citation"}]},
        {"never_heard_of": None, "nor_of": [], "this": {}, "that": "", "them": False},
        NOTE,
    ],
)
def test_an_echoed_answer_is_read_as_what_was_said(extra: dict[str, Any]) -> None:
    assert answered(**extra) == PLAIN


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant"},
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "content": None, "tool_calls": None, "function_call": None},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": []},
        {"role": "assistant", "content": [], "tool_calls": {}},
    ],
)
def test_an_answer_of_nothing_is_an_empty_one(message: dict[str, Any]) -> None:
    assert message_of(**message) == {"role": "assistant", "content": ""}


def test_no_content_stays_none_beside_calls_and_an_empty_one_empty() -> None:
    assert answered(None, tool_calls=[CALL])["content"] is None
    assert message_of(role="assistant", tool_calls=[CALL])["content"] is None
    assert answered("", tool_calls=[CALL])["content"] == ""
    assert answered(None, tool_calls=[CALL], refusal="No.")["content"] == "No."


def test_an_answer_of_the_official_client_comes_back_as_it_was() -> None:
    given = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    for extra in ({}, {"reasoning": "y", "reasoning_content": "y"}):
        dumped = ChatCompletionMessage.model_validate({**given, **extra}).model_dump()
        expected = {**given, "reasoning_content": "y"} if extra else given
        assert message_of(**dumped) == expected


def test_calls_in_the_older_form_are_tool_calls() -> None:
    called = {"name": "f", "arguments": "{}"}
    older = {"role": "assistant", "content": None, "function_call": called}
    result = {"role": "function", "name": "f", "content": "5"}
    messages = prompt_of(USER, older, result, older, result).messages
    ids = []
    for call, answer in (messages[1:3], messages[3:5]):
        (tool_call,) = call["tool_calls"]
        assert tool_call["function"] == called
        assert call["content"] is None
        assert answer == {
            "role": "tool",
            "content": "5",
            "name": "f",
            "tool_call_id": tool_call["id"],
        }
        ids.append(tool_call["id"])
    assert len(set(ids)) == 2
    assert prompt_of(USER, older, result).messages == messages[:3]
    both = message_of(role="assistant", tool_calls=[CALL], function_call=called)
    assert both["tool_calls"] == [CALL]


def test_a_result_without_a_call_is_taken() -> None:
    for stray in (
        {"role": "tool", "content": [{"type": "text", "text": "5"}], "tool_call_id": "nobody's"},
        {"role": "function", "content": "5", "name": "f"},
    ):
        assert message_of(**stray)["content"] == "5"


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
@pytest.mark.parametrize("content", [[], "", [{"type": "text", "text": ""}]])
def test_empty_content_is_an_empty_text_in_every_role(role: str, content: Any) -> None:
    ids = {"tool_call_id": "c1"} if role == "tool" else {}
    assert message_of(role=role, content=content, **ids)["content"] == ""


def test_null_is_an_empty_text_where_a_tool_said_nothing() -> None:
    assert message_of(role="tool", content=None, tool_call_id="c1")["content"] == ""
    assert message_of(role="system", content=None)["content"] == ""
    with pytest.raises(InvalidRequest, match=r"messages\[1\].content must be a string or an array"):
        message_of(role="user", content=None)


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_notes_for_another_servers_cache_are_dropped(role: str) -> None:
    parts = [
        {"type": "text", "text": "a", **NOTE, "annotations": []},
        {"type": "text", "text": "b"},
    ]
    assert message_of(role=role, content=parts, **NOTE) == {"role": role, "content": "a\nb"}


def test_reasoning_goes_to_templates_that_know_it() -> None:
    for extra in ({"reasoning_content": "y"}, {"reasoning": "y"}):
        assert answered(**extra) == {**PLAIN, "reasoning_content": "y"}
    assert answered(reasoning_content="y", reasoning="z")["reasoning_content"] == "y"
    assert answered(reasoning={"effort": "high"}) == PLAIN


def test_parts_of_an_answer_may_be_refusals_and_thoughts() -> None:
    parts = [
        {"type": "thinking", "thinking": "y", "signature": "z"},
        {"type": "text", "text": "4"},
        {"type": "redacted_thinking", "data": "y"},
        {"type": "refusal", "refusal": "No."},
    ]
    assert answered(parts)["content"] == "4\nNo."


def test_a_refusal_is_what_was_said() -> None:
    assert answered(None, refusal="No.")["content"] == "No."
    assert answered("4", refusal="No.")["content"] == "4"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (CALL, CALL),
        ({**CALL, "index": 0, "type": None, **NOTE}, CALL),
        ({"id": "c1", "function": CALL["function"]}, CALL),
        ({"function": CALL["function"]}, {k: v for k, v in CALL.items() if k != "id"}),
        ({**CALL, "id": ""}, {k: v for k, v in CALL.items() if k != "id"}),
        ({**CALL, "id": "x" * 5000}, {**CALL, "id": "x" * 5000}),
        ({**CALL, "extra_content": {"google": {"thought_signature": "x"}}}, CALL),
    ],
)
def test_calls_in_the_history_are_taken_as_they_are(call: Any, expected: Any) -> None:
    assert answered(None, tool_calls=[call])["tool_calls"] == [expected]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ({"name": "functions.f:0", "arguments": "{"}, {"name": "functions.f:0", "arguments": "{"}),
        ({"name": "x y" * 50, "arguments": ""}, {"name": "x y" * 50, "arguments": ""}),
        ({"name": "f", "arguments": None}, {"name": "f", "arguments": ""}),
        ({"name": "f", "arguments": {"a": 1}}, {"name": "f", "arguments": {"a": 1}}),
        (
            {"name": "f", "arguments": "{}", "parsed_arguments": {}, "strict": True},
            {"name": "f", "arguments": "{}"},
        ),
    ],
)
def test_a_models_own_names_are_not_judged(function: Any, expected: Any) -> None:
    calls = answered(None, tool_calls=[{**CALL, "function": function}])["tool_calls"]
    assert calls[0]["function"] == expected


def test_a_result_keeps_its_id_and_name_whatever_their_length() -> None:
    given = {"role": "tool", "content": "5", "tool_call_id": "x" * 300, "name": "f" * 300}
    assert message_of(**given) == given
    assert message_of(**given, is_error=True, artifact={"a": 1}) == given


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ({"name": "f"}, {"name": "f"}),
        ({"name": "f", "strict": False, **NOTE}, {"name": "f"}),
        ({"name": "f", "description": None, "parameters": None, "strict": None}, {"name": "f"}),
        ({"name": "f", "parameters": {}}, {"name": "f", "parameters": {}}),
        ({"name": "f", "parameters": []}, {"name": "f", "parameters": {}}),
        ({"name": "f", "description": "x" * 9000}, {"name": "f", "description": "x" * 9000}),
        (
            {"name": "f", "parameters": {"a": {"maximum": 2**64 - 1, "default": None}}},
            {"name": "f", "parameters": {"a": {"maximum": 2**64 - 1, "default": None}}},
        ),
    ],
)
def test_tools_are_told_of_as_they_are_described(function: Any, expected: Any) -> None:
    for tool in ({"type": "function", "function": function, **NOTE}, {"function": function}):
        assert prompt_of(USER, tools=[tool]).tools == ({"type": "function", "function": expected},)


@pytest.mark.parametrize(
    ("message", "param", "kind"),
    [
        ({**PLAIN, "audio": {"id": "a"}}, "audio", UnsupportedField),
        ({**PLAIN, "function_call": {"arguments": "{}"}}, "function_call.name", InvalidRequest),
        ({**PLAIN, "tool_calls": [{"type": "custom"}]}, "tool_calls[0].type", UnsupportedField),
        ({"role": "function", "content": "x"}, "name", InvalidRequest),
        ({"role": "user", "content": [{"type": "image_url"}]}, "content[0].type", UnsupportedField),
        ({**PLAIN, "content": [{"type": "image_url"}]}, "content[0].type", UnsupportedField),
        ({"role": "user", "content": [{"type": "refusal"}]}, "content[0].type", UnsupportedField),
        ({**PLAIN, "prefix": True}, "prefix", InvalidRequest),
        ({**USER, "tool_call_id": "c1"}, "tool_call_id", InvalidRequest),
        ({**USER, "tool_calls": [CALL]}, "tool_calls", InvalidRequest),
        ({**PLAIN, "tool_calls": [{**CALL, "function": {}}]}, "tool_calls[0].function.name", None),
        ({**PLAIN, "name": 5}, "name", InvalidRequest),
    ],
)
def test_what_would_change_the_answer_is_refused_where_it_stands(
    message: dict[str, Any], param: str, kind: type[InvalidRequest] | None
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        prompt_of(USER, message)
    assert refused.value.param == f"messages[1].{param}"
    assert type(refused.value) is (kind or InvalidRequest)


async def test_a_second_turn_of_the_official_client_is_answered() -> None:
    async with house().client() as client:
        first = (await client.post(CHAT, json=chat())).json()
        dumped = ChatCompletionMessage.model_validate(first["choices"][0]["message"]).model_dump()
        body = chat(messages=[USER, dumped, USER], id=first["id"], usage=first["usage"])
        second = await client.post(CHAT, json=body)
    assert second.status_code == 200, second.text


async def test_half_an_emoji_reaches_no_tokenizer() -> None:
    headers = {"content-type": "application/json"}
    body = b'{"model":"demo","messages":[{"role":"user","content":"cut \\ud83d here"}]}'
    async with house().client(headers=headers) as client:
        cut = await client.post("/tokenize", content=body)
        whole = await client.post("/tokenize", content=body.replace(b"\\ud83d", b"\\ufffd"))
        answer = await client.post(CHAT, content=body)
    assert cut.json()["tokens"] == whole.json()["tokens"]
    assert answer.status_code == 200
