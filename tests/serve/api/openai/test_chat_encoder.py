"""Events as chat completions: what the official client takes for OpenAI's, whole and streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from serve.api.dialect import Identity
from serve.api.openai.chat_encoder import ChatEncoder
from serve.api.openai.schemas import ChatCompletion as Shape
from serve.api.openai.text_encoder import TextEncoder
from serve.api.openai.token_view import TokenOptions
from serve.errors import InternalError
from serve.pipeline.events import (
    ChoiceEvent,
    Event,
    Finished,
    PromptTokens,
    TextDelta,
    TokenIds,
    TokenText,
    ToolCallDelta,
)
from serve.timeline import Usage
from tests.serve.api.house import events_of

IDENTITY = Identity(
    request_id="req-" + "0" * 32, model="demo", created=1_700_000_000, fingerprint="fp_0"
)
USAGE = Usage(prompt_tokens=7, completion_tokens=9, reasoning_tokens=4)
THOUGHT = [
    TextDelta(index=0, text="Let me ", channel="reasoning"),
    TextDelta(index=0, text="see.", channel="reasoning"),
]
TEXT = [TextDelta(index=0, text="It is "), TextDelta(index=0, text="4.")]
CALLS = [
    ToolCallDelta(index=0, call=0, call_id="call_a", name="f"),
    ToolCallDelta(index=0, call=0, arguments='{"a":'),
    ToolCallDelta(index=0, call=0, arguments="1}"),
    ToolCallDelta(index=0, call=1, call_id="call_b", name="g", arguments="{}"),
]
STOP = Finished(index=0, reason="stop", usage=USAGE)
CALLED = Finished(index=0, reason="tool_calls", usage=USAGE)


def encoder(**options: Any) -> ChatEncoder:
    return ChatEncoder(IDENTITY, **{"has_usage_chunk": False, "has_logprobs": False, **options})


def streamed(events: Sequence[Event], **options: Any) -> list[dict[str, Any]]:
    """The chunks of a stream, each of which the official client's type takes."""
    made = encoder(**options)
    raw = made.open() + b"".join(map(made.event, events)) + made.close(USAGE)
    *chunks, done = events_of(raw.decode())
    assert done == "[DONE]"
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    return chunks


def whole(events: Sequence[Event], **options: Any) -> dict[str, Any]:
    """The whole answer, which the official client's type and our own take."""
    made = encoder(**options)
    for event in events:
        made.add(event)
    answer = orjson.loads(b"".join(made.whole(USAGE)))
    ChatCompletion.model_validate(answer, strict=True)
    Shape.model_validate(answer)
    return dict(answer)


def message(events: Sequence[Event], **options: Any) -> dict[str, Any]:
    (choice,) = whole(events, **options)["choices"]
    return dict(choice["message"])


def deltas(events: Sequence[Event], **options: Any) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in streamed(events, **options)]


def test_calls_are_streamed_as_openai_streams_them() -> None:
    first, *calls, last = deltas([*CALLS, CALLED])
    assert first == {"role": "assistant", "content": None, "refusal": None}
    assert [delta["tool_calls"][0] for delta in calls] == [
        _head(0, "call_a", "f"),
        {"index": 0, "function": {"arguments": '{"a":'}},
        {"index": 0, "function": {"arguments": "1}"}},
        _head(1, "call_b", "g"),
        {"index": 1, "function": {"arguments": "{}"}},
    ]
    assert last == {}
    assert streamed([*CALLS, CALLED])[-1]["choices"][0]["finish_reason"] == "tool_calls"


def _head(index: int, call_id: str, name: str) -> dict[str, Any]:
    return {
        "index": index,
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": ""},
    }


def test_calls_of_a_whole_answer() -> None:
    answer = whole([*CALLS, CALLED])
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [_called("call_a", "f", '{"a":1}'), _called("call_b", "g", "{}")],
    }


def _called(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_text_may_stand_before_calls() -> None:
    assert message([*TEXT, *CALLS, CALLED])["content"] == "It is 4."
    assert deltas([*TEXT, *CALLS, CALLED])[0]["content"] == ""


def test_reasoning_has_both_of_its_names() -> None:
    said = message([*THOUGHT, *TEXT, STOP])
    assert said["reasoning"] == said["reasoning_content"] == "Let me see."
    assert said["content"] == "It is 4."
    first, second, *_ = deltas([*THOUGHT, *TEXT, STOP])
    assert first["content"] is None
    assert second == {"reasoning": "Let me ", "reasoning_content": "Let me "}
    assert message([*THOUGHT, STOP])["content"] is None
    assert "reasoning" not in message([*TEXT, STOP])


def test_a_refusal_is_no_content() -> None:
    refused = [TextDelta(index=0, text="No.", channel="refusal"), STOP]
    assert message(refused) == {"role": "assistant", "content": None, "refusal": "No."}
    assert deltas(refused)[1] == {"refusal": "No."}


def test_an_answer_of_nothing_is_an_empty_text() -> None:
    assert message([STOP]) == {"role": "assistant", "content": "", "refusal": None}
    assert deltas([STOP]) == [{"role": "assistant", "content": "", "refusal": None}, {}]


def test_reasoning_is_counted() -> None:
    usage = whole([*TEXT, STOP])["usage"]
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 4}
    chunks = streamed([*TEXT, STOP], has_usage_chunk=True)
    assert chunks[-1]["usage"] == usage
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_a_function_is_called_under_the_older_name() -> None:
    events = [*CALLS[:3], CALLED]
    (choice,) = whole(events, has_functions=True)["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert "tool_calls" not in choice["message"]
    assert deltas(events, has_functions=True)[1:-1] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"a":'}},
        {"function_call": {"arguments": "1}"}},
    ]
    last = streamed(events, has_functions=True)[-1]["choices"][0]
    assert last["finish_reason"] == "function_call"
    assert whole([*TEXT, STOP], has_functions=True)["choices"][0]["finish_reason"] == "stop"


def test_logprobs_come_with_whatever_was_said() -> None:
    token = TokenText(text="x", raw=b"x", logprob=-0.5)
    events = [
        TextDelta(index=0, text="x", channel="reasoning", logprobs=(token,)),
        TextDelta(index=0, text="x", logprobs=(token,)),
        STOP,
    ]
    (choice,) = whole(events, has_logprobs=True)["choices"]
    assert len(choice["logprobs"]["content"]) == 2
    chunks = streamed(events, has_logprobs=True)
    told = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert [len(one["content"]) for one in told if one] == [1, 1]


def test_token_ids_come_with_the_next_chunk_and_with_the_whole() -> None:
    prompt = PromptTokens(prompt=0, token_ids=(5, 6))
    ids = [TokenIds(index=0, token_ids=(1, 2)), TokenIds(index=0, token_ids=(3,))]
    events: list[Event] = [prompt, ids[0], TEXT[0], ids[1], TEXT[1], STOP]
    shown = TokenOptions(shows_ids=True)
    answer = whole(events, tokens=shown)
    assert answer["prompt_token_ids"] == [5, 6]
    assert answer["choices"][0]["token_ids"] == [1, 2, 3]
    each: list[dict[str, Any]] = [{}, {"has_usage_chunk": True}]
    for options in each:
        first, *others = streamed(events, tokens=shown, **options)
        assert first["prompt_token_ids"] == [5, 6]
        assert not any("prompt_token_ids" in chunk for chunk in others)
        chunks = [first, *others]
        told = [chunk["choices"][0].get("token_ids") for chunk in chunks if chunk["choices"]]
        assert [one for ids in told for one in ids or ()] == [1, 2, 3]


def test_choices_begin_in_their_order() -> None:
    later = [
        TextDelta(index=2, text="x"),
        TextDelta(index=0, text="y"),
        TextDelta(index=1, text="z"),
    ]
    told = [chunk["choices"][0] for chunk in streamed(later)]
    roles = [choice["index"] for choice in told if "role" in choice["delta"]]
    assert roles == [0, 1, 2]
    assert [choice["index"] for choice in told if "role" not in choice["delta"]] == [2, 0, 1]


PIECES = st.lists(st.text(min_size=1, max_size=6), max_size=4)


@st.composite
def answers(draw: st.DrawFn) -> list[ChoiceEvent]:
    """The events of two choices, one after the other or in turns."""
    each = [list(_events(draw, index)) for index in range(2)]
    mixed: list[ChoiceEvent] = []
    while any(each):
        one = draw(st.sampled_from([events for events in each if events]))
        mixed.append(one.pop(0))
    return mixed


def _events(draw: st.DrawFn, index: int) -> Iterator[ChoiceEvent]:
    for channel in ("reasoning", "content"):
        for text in draw(PIECES):
            yield TextDelta(index=index, text=text, channel=channel)
    num_calls = draw(st.integers(0, 3))
    for call in range(num_calls):
        pieces = draw(PIECES)
        yield ToolCallDelta(
            index=index,
            call=call,
            call_id=f"call_{index}{call}",
            name=f"f{call}",
            arguments=draw(st.text(max_size=4)),
        )
        for text in pieces:
            yield ToolCallDelta(index=index, call=call, arguments=text)
    yield Finished(index=index, reason="tool_calls" if num_calls else "stop", usage=USAGE)


@given(answers())
def test_the_clients_own_accumulator_comes_to_the_whole_answer(events: list[ChoiceEvent]) -> None:
    state: Any = ChatCompletionStreamState()
    for chunk in streamed(events, has_usage_chunk=True):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    final = state.get_final_completion().model_dump()
    answer = ChatCompletion.model_validate(whole(events)).model_dump()
    assert final["usage"] == answer["usage"]
    for one, other in zip(final["choices"], answer["choices"], strict=True):
        told, expected = one["message"], other["message"]
        assert one["finish_reason"] == other["finish_reason"]
        assert (told["content"] or "") == (expected["content"] or "")
        assert told.get("reasoning") == expected.get("reasoning")
        calls = [_plain(call) for call in told["tool_calls"] or ()]
        assert calls == [_plain(call) for call in expected["tool_calls"] or ()]


def _plain(call: dict[str, Any]) -> tuple[str, str, str]:
    return call["id"], call["function"]["name"], call["function"]["arguments"]


@pytest.mark.parametrize("channel", ["reasoning", "refusal"])
def test_other_encoders_have_no_words_for_channels(channel: Any) -> None:

    made = TextEncoder(IDENTITY, has_usage_chunk=False, has_logprobs=False)
    for event in (TextDelta(index=0, text="x", channel=channel), CALLS[0]):
        with pytest.raises(InternalError, match="no words"):
            made.event(event)
    with pytest.raises(InternalError, match="no words"):
        made.add(TextDelta(index=0, text="x", channel=channel))
