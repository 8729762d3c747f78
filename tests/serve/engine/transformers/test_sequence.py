"""A sequence's tokens, draws, ends and segments."""

from __future__ import annotations

from typing import Any

import pytest

from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers.draft import Draft
from serve.engine.transformers.sequence import (
    MOST_FORCED,
    Segment,
    SequenceState,
    source_of,
)

STOP = 9


def sequence(prompt: tuple[int, ...] = (1, 2, 3), **params: Any) -> SequenceState:
    sampling = SamplingParams(**({"max_tokens": 4, "temperature": 1.0} | params))
    request = EngineRequest(request_id="r", prompt_token_ids=prompt, sampling=sampling)
    return SequenceState(request=request, stop_token_ids=frozenset({STOP}))


class Guesser:
    def guesses(self, _tokens: Any, most: int, _num_running: int) -> list[int]:
        return [5, 6, STOP, 7][:most]


def test_a_seed_is_a_source_of_its_own_also_below_zero():
    draws = {seed: source_of(seed).random() for seed in (-7, 7, 0, -1, 2**63)}
    assert len(set(draws.values())) == len(draws)
    assert all(source_of(seed).random() == draw for seed, draw in draws.items())
    assert source_of(None).random() != source_of(None).random()


def test_a_forced_token_draws_as_if_it_had_been_sampled():
    forced, sampled = sequence(seed=3), sequence(seed=3)
    forced.append(5, is_forced=True)
    sampled.draw()
    sampled.append(5)
    assert forced.draw() == sampled.draw()
    assert (forced.num_forced, sampled.num_forced) == (1, 0)
    forced.append(6)
    assert forced.num_forced == 0


def test_a_greedy_sequence_draws_nothing():
    one = sequence(temperature=0.0, seed=3)
    before = one.source.getstate()
    assert one.draw() == 0.0
    assert one.source.getstate() == before


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [([], None), ([5], None), ([STOP], "stop"), ([5, 6, 7], None), ([5] * 4, "length")],
)
def test_an_end_is_said_by_the_last_token(tokens, reason):
    one = sequence(prompt=(1, STOP))
    for token in tokens:
        one.append(token)
    assert one.finish_reason == reason


def test_a_stop_at_the_last_place_is_a_stop():
    one = sequence(max_tokens=1)
    one.append(STOP)
    assert one.finish_reason == "stop"


def test_guesses_end_before_a_stop_and_before_the_last_token():
    one = sequence(max_tokens=10)
    assert one.guesses(8, 1) == Draft(())
    one.lookup = Guesser()  # type: ignore[assignment]
    assert one.guesses(8, 1).token_ids == (5, 6)
    assert one.guesses(1, 1).token_ids == (5,)
    short = sequence(max_tokens=2)
    short.lookup = Guesser()  # type: ignore[assignment]
    assert short.guesses(8, 1).token_ids == (5,)
    short.append(5)
    assert short.guesses(8, 1).token_ids == ()


def test_blocks_are_named_by_all_that_led_to_them():
    one, same, other = sequence((1, 2, 3, 4)), sequence((1, 2, 3, 4)), sequence((0, 2, 3, 4))
    assert one.block_keys(2, 2) == same.block_keys(2, 2)
    assert one.block_keys(1, 2) == one.block_keys(2, 2)[:1]
    assert not set(one.block_keys(2, 2)) & set(other.block_keys(2, 2))


def test_what_is_forgotten_is_computed_anew():
    one = sequence()
    one.block_ids, one.num_computed, one.num_exact, one.num_kept_blocks = [4], 3, 3, 1
    assert one.num_pending == 0
    one.forget_blocks()
    assert (one.block_ids, one.num_pending, one.num_exact, one.num_kept_blocks) == ([], 3, 0, 0)


def test_nothing_is_forced_where_a_forward_has_to_say_more():
    class Mask:
        def forced(self) -> list[int]:
            return [5]

        def accept(self, _token: int) -> None: ...

    def forced(**params: Any) -> list[int]:
        one = sequence(**params)
        one.mask = Mask()  # type: ignore[assignment]
        return list(one.forced())

    assert forced() == [5]
    assert sequence().forced() == ()
    assert forced(num_logprobs=0) == []
    assert forced(allowed_token_ids=frozenset({5})) == []
    assert forced(bad_words=((5,),)) == []


def test_segments_of_a_prompt_are_no_decodes():
    one = sequence((1, 2, 3, 4))
    prompt, last = Segment(one, 0, 4), Segment(one, 3, 1)
    assert (prompt.is_decode, last.is_decode) == (False, False)
    assert (prompt.samples, Segment(one, 0, 3).samples) == (True, False)
    one.append(5)
    assert Segment(one, 4, 1).is_decode
    assert Segment(one, 4, 1).token_ids == [5]


def test_guesses_follow_a_segment_s_own_tokens():
    one = sequence((1, 2))
    one.append(5)
    segment = Segment(one, 2, 3, Draft((6, 7)))
    assert (segment.token_ids, segment.known_end, segment.end) == ([5, 6, 7], 3, 5)
    assert segment.samples
    assert segment.is_decode
    assert not Segment(one, 2, MOST_FORCED + 1, Draft((6,) * MOST_FORCED)).is_decode
