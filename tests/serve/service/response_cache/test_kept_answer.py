"""An answer that is written and read again is the same, event by event."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import InternalError
from serve.pipeline.events import (
    CacheExplained,
    ChoiceEvent,
    Event,
    Finished,
    PromptTokens,
    Queued,
    Started,
    TextDelta,
    TokenIds,
    TokenText,
    ToolCallDelta,
)
from serve.service.response_cache.kept_answer import KeptAnswer, read
from serve.timeline import Usage

COUNTS = st.integers(0, 2**40)
USAGES = st.builds(
    Usage,
    prompt_tokens=COUNTS,
    completion_tokens=COUNTS,
    cached_tokens=COUNTS,
    reasoning_tokens=COUNTS,
)
IDS = st.lists(st.integers(0, 200_000), max_size=3).map(tuple)
TOKENS = st.deferred(
    lambda: st.builds(
        TokenText,
        text=st.text(max_size=3),
        raw=st.binary(max_size=3),
        logprob=st.none() | st.floats(allow_nan=False, max_value=0),
        top=st.just(()) | st.lists(TOKENS, max_size=2).map(tuple),
        token_id=st.none() | st.integers(0, 9),
        offset=st.integers(0, 9),
        rank=st.none() | st.integers(1, 9),
    )
)
LISTED = st.lists(TOKENS, max_size=2).map(tuple)
INDEX = st.integers(0, 2)
EVENTS: dict[type, st.SearchStrategy[Any]] = {
    TextDelta: st.builds(
        TextDelta,
        index=INDEX,
        text=st.text(max_size=5),
        channel=st.sampled_from(["content", "reasoning", "refusal"]),
        logprobs=st.just(()) | LISTED,
    ),
    ToolCallDelta: st.builds(
        ToolCallDelta,
        index=INDEX,
        call=INDEX,
        call_id=st.none() | st.text(max_size=3),
        name=st.none() | st.text(max_size=3),
        arguments=st.text(max_size=3),
    ),
    TokenIds: st.builds(TokenIds, index=INDEX, token_ids=IDS),
    PromptTokens: st.builds(PromptTokens, prompt=INDEX, token_ids=IDS, logprobs=st.none() | LISTED),
    Finished: st.builds(
        Finished,
        index=INDEX,
        reason=st.sampled_from(["stop", "length", "tool_calls"]),
        usage=USAGES,
        error=st.none(),
    ),
}


def kept(events: Sequence[Event], usage: Usage | None = None) -> KeptAnswer:
    return KeptAnswer(
        made_at=1.5,
        usage=usage or Usage(),
        finish_reason="stop",
        events=tuple(events),
        verdicts=("masking:email@7",),
    )


@given(st.lists(st.one_of(*EVENTS.values()), max_size=4), USAGES)
def test_what_is_read_is_what_was_written(events: list[Event], usage: Usage) -> None:
    answer = kept(events, usage)
    assert read(answer.to_bytes()) == answer


def test_every_event_of_a_choice_can_be_kept() -> None:
    assert set(get_args(ChoiceEvent)) <= EVENTS.keys()
    assert {Started, Queued, CacheExplained} == set(get_args(Event)) - EVENTS.keys()


def test_texts_take_a_few_bytes_each() -> None:
    answer = kept([TextDelta(index=0, text="word ") for _ in range(1000)])
    assert len(answer.to_bytes()) < 1000 * len('"word ",') + 200


def test_infinite_log_probabilities_are_kept() -> None:
    token = TokenText(text="a", raw=b"a", logprob=-math.inf)
    answer = kept([TextDelta(index=0, text="a", logprobs=(token,))])
    assert read(answer.to_bytes()) == answer


@pytest.mark.parametrize(
    "event",
    [
        Started(prompt_tokens=1),
        Queued(position=1, expected_wait_s=None),
        Finished(index=0, reason="error", error=InternalError("x")),
        TextDelta(index=0, text="\ud800"),
    ],
)
def test_what_is_no_part_of_an_answer_cannot_be_kept(event: Event) -> None:
    with pytest.raises(ValueError, match=r"no part of a kept answer|surrogates"):
        kept([event]).to_bytes()


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{", b"[]", b"{}", b'{"form":2}', b'{"form":1}', b"null"),
        kept([]).to_bytes().replace(b'"events":[]', b'"events":[["z"]]'),
        kept([]).to_bytes().replace(b'"events":[]', b'"events":[["f",0]]'),
        kept([]).to_bytes().replace(b'"events":[]', b'"events":[[]]'),
    ],
)
def test_what_is_no_answer_is_refused(raw: bytes) -> None:
    with pytest.raises(
        ValueError, match=r"no answer|another form|unexpected|[Ii]nput|values to unpack"
    ):
        read(raw)
