"""Streams as an answer: text, merged tool calls, counts and times; and what is no answer."""

from __future__ import annotations

import httpx
import pytest

from benchmarks.agent.asking import Answer, AskError, ask
from tests.benchmarks.agent.stub import Stub, call, sse


def asked(handler) -> Answer:
    with httpx.Client(base_url="http://stub", transport=httpx.MockTransport(handler)) as client:
        return ask(client, {"messages": []})


def test_text_and_usage():
    stub = Stub(lambda _: [{"content": "Good "}, {"content": "day"}])
    stub.usage = lambda _: {
        "prompt_tokens": 9,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    answer = asked(stub)
    assert stub.asked[0]["stream"] is True
    assert stub.asked[0]["stream_options"] == {"include_usage": True}
    assert (answer.content, answer.finish_reason, answer.calls) == ("Good day", "stop", {})
    assert (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens) == (9, 3, 4)
    assert answer.num_text_events == 2
    assert 0 <= answer.first_event_s <= answer.first_text_s <= answer.total_s


def test_calls_are_merged_by_index():
    parts = [*call("read", '{"path": "a"}'), *call("list", '{"path": ""}', 1)]
    answer = asked(Stub(lambda _: parts))
    functions = [answer.calls[number]["function"] for number in (0, 1)]
    assert functions == [
        {"name": "read", "arguments": '{"path": "a"}'},
        {"name": "list", "arguments": '{"path": ""}'},
    ]
    assert answer.calls[1]["id"] == "call_list"
    assert answer.num_text_events == 4


def test_what_a_server_does_not_tell_is_none():
    answer = asked(Stub(lambda _: []))
    assert answer.first_text_s is None
    assert (answer.prompt_tokens, answer.cached_tokens, answer.prompt_ids) == (None, None, None)
    stub = Stub(lambda _: [])
    stub.usage = lambda _: {"prompt_tokens": 9, "completion_tokens": 1}
    assert asked(stub).cached_tokens is None


def test_token_ids_are_joined():
    events = [
        {"prompt_token_ids": [1, 2], "choices": [{"delta": {"content": "a"}, "token_ids": [3]}]},
        {"choices": [{"delta": {}, "token_ids": [4, 5], "finish_reason": "stop"}]},
    ]
    answer = asked(lambda _: httpx.Response(200, content=sse(*events)))
    assert (answer.prompt_ids, answer.output_ids) == ([1, 2], [3, 4, 5])


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (httpx.Response(400, text="no such model"), "status 400: no such model"),
        (httpx.Response(200, content=sse({"error": {"message": "died"}})), "in the stream.*died"),
        (httpx.Response(200, content=sse({"choices": [{"delta": {}}]})), "without a finish"),
        (httpx.Response(200, text=""), "without a finish"),
    ],
)
def test_no_answer(reply, words):
    with pytest.raises(AskError, match=words):
        asked(lambda _: reply)


def test_no_connection():
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(AskError, match="ConnectError: refused"):
        asked(refuse)
