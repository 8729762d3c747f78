"""Whatever a server's events look like, tokens, reason, usage and errors are read from them."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.serving.events import EventReader
from benchmarks.trace import Trace


def chunk(delta: dict[str, object], reason: str | None = None, **more: object) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more})


def read(*pieces: bytes) -> EventReader:
    reader = EventReader(Trace())
    for number, piece in enumerate(pieces):
        reader.feed(piece, float(number))
    reader.finish(float(len(pieces)))
    return reader


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
STREAM = [
    chunk({"role": "assistant", "content": None}),
    chunk({"content": "a\ndata: x"}),
    chunk({"content": "b"}, "stop", usage=USAGE),
    "[DONE]",
]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("data: ", "\n\n"),
        ("data:", "\n\n"),
        ("data: ", "\r\n\r\n"),
        (": hello\nid: 7\ndata: ", "\n\n"),
    ],
)
def test_every_way_of_writing_events_is_the_same_stream(before: str, after: str) -> None:
    text = "".join(before + event + after for event in STREAM).encode()
    reader = read(text)
    trace = reader.trace
    assert (reader.is_done, reader.error, len(trace.arrivals_at)) == (True, None, 2)
    assert (trace.prompt_tokens, trace.completion_tokens, trace.cached_tokens) == (3, 2, 1)
    assert trace.finish_reason == "stop"


WHOLE = "".join(f"data: {event}\r\n\r\n" for event in STREAM).encode()


@given(st.sets(st.integers(1, len(WHOLE) - 1)))
def test_cuts_change_nothing(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    reader = read(*(WHOLE[a:b] for a, b in pairwise(edges)))
    assert (reader.is_done, reader.error, len(reader.trace.arrivals_at)) == (True, None, 2)


def test_an_event_of_several_lines_is_one() -> None:
    reader = read(b'data: {"choices":\ndata: [{"text": "a"}]}\n\n')
    assert (reader.error, reader.num_events, len(reader.trace.arrivals_at)) == (None, 1, 1)


def test_the_last_event_needs_no_empty_line() -> None:
    assert read(b"data: [DONE]").is_done


@pytest.mark.parametrize(
    ("delta", "count"),
    [
        ({"role": "assistant", "content": ""}, 0),
        ({"role": "assistant", "content": "a"}, 1),
        ({"content": ""}, 0),
        ({}, 0),
        ({"reasoning_content": "hm"}, 1),
        ({"reasoning": "hm"}, 1),
        ({"tool_calls": [{"index": 0}]}, 1),
        ({"tool_calls": []}, 0),
    ],
)
def test_tokens_are_where_a_delta_has_content(delta: dict[str, object], count: int) -> None:
    assert len(read(f"data: {chunk(delta)}\n\n".encode()).trace.arrivals_at) == count


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'data: {"error": {"code": "dead"}}\n\n', 'error in the stream: {"code":"dead"}'),
        (b'error: {"code": 500}\n\n', 'error in the stream: {"code": 500}'),
        (b"data: {\n\n", "no JSON: {"),
        (b"data: 7\n\n", "no JSON object: 7"),
        (b'data: {"choices": [7]}\n\n', "of another form"),
        (b'data: {"usage": {"prompt_tokens": "many"}}\n\n', "of another form"),
    ],
)
def test_what_a_server_says_wrong_is_kept(text: bytes, said: str) -> None:
    assert said in str(read(text).error)


def test_the_beginning_of_what_is_no_stream_is_kept() -> None:
    assert read(b'{"choices"', b": []}").beginning == b'{"choices": []}'
