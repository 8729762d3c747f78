"""The scheduling policy, under whatever arrives and leaves."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers.scheduler import MOST_SHARED, Scheduler
from serve.engine.transformers.sequence import Segment, SequenceState
from serve.engine.transformers.step_cost import CHUNK_S, LEAST_CHUNK, StepCost

BLOCK = 4


def sequence(prompt_size: int, max_tokens: int, name: str = "s") -> SequenceState:
    return SequenceState(
        request=EngineRequest(
            request_id=name,
            prompt_token_ids=list(range(prompt_size)),
            sampling=SamplingParams(max_tokens=max_tokens, temperature=0),
        ),
        stop_token_ids=frozenset(),
    )


def scheduler(num_blocks: int = 100, max_num_seqs: int = 4, budget: int = 16) -> Scheduler:
    return Scheduler(
        num_blocks=num_blocks,
        block_size=BLOCK,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=budget,
    )


def run(subject: Scheduler, segments: list[Segment]) -> list[SequenceState]:
    """What a step does with its plan; returns the sequences that finished."""
    samplers = [segment.sequence for segment in segments if segment.samples]
    subject.advance(segments)
    finished = []
    for one in samplers:
        one.token_ids.append(0)
        if one.finish_reason:
            subject.remove(one)
            finished.append(one)
    return finished


def check(subject: Scheduler, segments: list[Segment], arrivals: list[SequenceState]) -> None:
    """Everything that holds after every ``schedule``."""
    assert sum(segment.num_tokens for segment in segments) <= subject.max_num_batched_tokens
    assert len(subject.running) <= subject.max_num_seqs
    planned = [segment.sequence for segment in segments]
    assert len(planned) == len(set(planned)), "a sequence is scheduled twice"
    for segment in segments:
        one = segment.sequence
        assert one in subject.running
        assert segment.num_tokens > 0
        assert segment.start == one.num_computed, "a token is skipped or computed twice"
        assert segment.end <= len(one.token_ids)
        assert len(one.block_ids) * BLOCK >= segment.end
    held = [block for one in subject.running for block in one.block_ids]
    assert len(held) == len(set(held)), "two sequences hold one block"
    assert len(held) + subject.blocks.num_available == subject.blocks.num_blocks
    assert all(not one.block_ids and one.num_computed == 0 for one in subject.waiting)
    order = [arrivals.index(one) for one in (*subject.running, *subject.waiting)]
    assert order == sorted(order), "someone overtook"
    for one in subject.running:
        if one.is_decoding:
            assert one in planned, "a decode was left out"


sizes = st.tuples(st.integers(1, 30), st.integers(1, 12))
events = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), sizes),
        st.tuples(st.just("step"), st.integers(1, 5)),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(events, st.integers(11, 40), st.integers(1, 5), st.integers(0, 20))
def test_nothing_is_lost_and_nothing_overflows(
    script: list[tuple[str, object]], num_blocks: int, max_num_seqs: int, spare: int
) -> None:
    subject = scheduler(num_blocks, max_num_seqs, max_num_seqs + spare)
    arrivals: list[SequenceState] = []
    over: set[SequenceState] = set()

    def step() -> bool:
        segments = subject.schedule()
        check(subject, segments, arrivals)
        assert bool(segments) == bool(subject.running or subject.waiting)
        over.update(run(subject, segments))
        return bool(segments)

    for verb, value in script:
        if verb == "submit":
            arrivals.append(sequence(*value))  # type: ignore[misc]
            subject.submit(arrivals[-1])
        elif verb == "step":
            for _ in range(value):  # type: ignore[call-overload]
                step()
        elif arrivals:
            victim = arrivals[value % len(arrivals)]  # type: ignore[operator]
            subject.remove(victim)
            over.add(victim)
    for _ in range(5000):
        if not step():
            break
    assert over == set(arrivals)
    assert subject.blocks.num_available == num_blocks
    for one in arrivals:
        assert one.num_generated <= one.request.sampling.max_tokens


def test_a_long_prompt_does_not_stop_decodes() -> None:
    subject = scheduler(budget=8)
    short, long = sequence(2, 50), sequence(100, 1)
    subject.submit(short)
    run(subject, subject.schedule())
    subject.submit(long)
    for _ in range(10):
        first, chunk = subject.schedule()
        assert (first.sequence, first.num_tokens) == (short, 1)
        assert (chunk.sequence, chunk.num_tokens) == (long, 4)  # to the end of a block
        run(subject, [first, chunk])


def test_the_latest_arrival_is_preempted_and_returns_first() -> None:
    subject = scheduler(num_blocks=4, max_num_seqs=3)
    first, second, third = (sequence(BLOCK, 9, name) for name in "abc")
    for one in (first, second, third):
        subject.submit(one)
    run(subject, subject.schedule())  # all prompts; each has one block, one is left
    assert subject.running == [first, second, third]
    run(subject, subject.schedule())  # first takes the last block, then two are preempted
    assert subject.running == [first, second]
    assert list(subject.waiting) == [third]
    assert third.num_generated == 1
    assert third.num_computed == 0


def test_blocks_of_the_cancelled_are_free_at_once() -> None:
    subject = scheduler(num_blocks=5)
    one = sequence(20, 1)
    subject.submit(one)
    subject.schedule()
    assert subject.blocks.num_available == 0
    subject.remove(one)
    subject.remove(one)
    assert subject.blocks.num_available == 5


def test_the_budget_has_room_for_every_decode() -> None:
    with pytest.raises(ValueError, match="max_num_batched_tokens"):
        scheduler(max_num_seqs=4, budget=3)


@pytest.mark.parametrize(
    ("generated", "expected"),
    [
        ([], None),
        ([5], None),
        ([5, 2], "stop"),
        ([5, 5, 5], "length"),
        ([5, 5, 2], "stop"),  # the stop token is the last that max_tokens allows
    ],
)
def test_a_sequence_is_over_by_its_last_token(generated: list[int], expected: str | None) -> None:
    one = SequenceState(
        request=EngineRequest(
            request_id="s", prompt_token_ids=[2, 2], sampling=SamplingParams(max_tokens=3)
        ),
        stop_token_ids=frozenset({2}),
    )
    for token_id in generated:
        one.append(token_id)
    assert one.finish_reason == expected
    assert one.num_generated == len(generated)
    assert one.num_pending == 2 + len(generated)


def test_a_prompt_whose_logprobs_are_wanted_advances_with_any_vocabulary() -> None:
    """One of a million tokens has room for the logits of fewer than a block's."""
    subject = Scheduler(
        num_blocks=9,
        block_size=BLOCK,
        max_num_seqs=1,
        max_num_batched_tokens=16,
        max_logprob_tokens=1,
    )
    one = sequence(10, 2)
    one.prompt_logprobs = [None]
    subject.submit(one)
    assert chunks(subject, one) == [4, 4, 2]


# Guesses take what nobody else needs


class Eager:
    """Guesses as many tokens as it may."""

    def guesses(self, token_ids: Sequence[int], most: int, num_running: int) -> list[int]:
        del token_ids, num_running
        return [0] * most

    def learn(self, num_guesses: int, num_right: int) -> None:
        pass


def guessing(prompt_size: int, max_tokens: int = 100) -> SequenceState:
    one = sequence(prompt_size, max_tokens)
    one.lookup = Eager()  # type: ignore[assignment]
    return one


def drafts(segments: Sequence[Segment]) -> list[int]:
    return [len(segment.draft) for segment in segments]


def test_guesses_follow_the_last_token_and_leave_prompts_their_chunk() -> None:
    subject = scheduler(max_num_seqs=4, budget=16)
    one = guessing(3)
    subject.submit(one)
    assert drafts(subject.schedule()) == [0]  # none behind a prompt
    one.num_computed = 3
    one.append(7)
    (segment,) = subject.schedule()
    assert (segment.start, segment.num_tokens, len(segment.draft)) == (3, 5, 4)
    assert segment.samples
    assert segment.is_decode
    assert segment.token_ids == [7, 0, 0, 0, 0]
    subject.submit(sequence(60, 5))
    first, prompt = subject.schedule()
    assert first.num_tokens + prompt.num_tokens == 16
    assert prompt.num_tokens >= 12


def test_a_guess_that_was_wrong_is_not_computed() -> None:
    subject, one = scheduler(), guessing(3)
    subject.submit(one)
    subject.advance(subject.schedule())
    one.append(7)
    subject.advance(subject.schedule())
    assert one.num_computed == 4
    one.append(0, is_computed=True)
    assert (one.num_computed, one.num_pending, one.is_decoding) == (5, 0, False)
    one.append(9)
    assert (one.num_computed, one.num_pending, one.is_decoding) == (5, 1, True)


def test_guesses_end_where_the_answer_does() -> None:
    subject, one = scheduler(), guessing(3, max_tokens=3)
    subject.submit(one)
    subject.advance(subject.schedule())
    one.append(7)
    assert drafts(subject.schedule()) == [1]  # and its row says the third
    one.append(7)
    one.num_computed += 1
    assert drafts(subject.schedule()) == [0]


def test_guesses_take_no_block_that_another_may_need() -> None:
    subject = scheduler(num_blocks=3)
    first, second = guessing(3), sequence(4, 30)
    for one in (first, second):
        subject.submit(one)
    subject.advance(subject.schedule())
    first.append(7)
    second.append(7)
    assert drafts(subject.schedule()) == [0, 0]  # the last free block is the second's
    assert len(second.block_ids) == 2
    assert len(first.block_ids) == 1
    assert subject.num_preemptions == 0


def test_guesses_of_one_do_not_make_the_step_of_many_long() -> None:
    subject = scheduler(max_num_seqs=8, budget=64)
    sequences = [guessing(3) for _ in range(4)]
    for one in sequences:
        subject.submit(one)
    subject.advance(subject.schedule())
    for one in sequences:
        one.append(7)
    assert sum(drafts(subject.schedule())) == MOST_SHARED


def test_a_stop_token_is_not_guessed() -> None:
    one = guessing(3)
    one.append(7)
    assert one.guesses(4, 1).token_ids == (0, 0, 0, 0)
    one.stop_token_ids = frozenset({0})
    assert len(one.guesses(4, 1)) == 0


COST = StepCost(base_s=0.02, token_s=1e-3, seen_s=1e-6)
"""Beside decodes 128 tokens of a new prompt, and 64 after some hundred others."""


def timed(seed: int | None = None) -> tuple[Scheduler, SequenceState, SequenceState]:
    """A scheduler that knows the cost of chunks, a sequence in decode, and a prompt of 1,000."""
    subject = Scheduler(
        num_blocks=1000,
        block_size=BLOCK,
        max_num_seqs=4,
        max_num_batched_tokens=512,
        is_repeatable=True,
        cost=COST,
    )
    running, arriving = sequence(8, 100, "running"), sequence(1000, 2, "arriving")
    if seed is not None:
        sampling = replace(arriving.request.sampling, seed=seed)
        arriving.request = replace(arriving.request, sampling=sampling)
    subject.submit(running)
    run(subject, subject.schedule())
    subject.submit(arriving)
    return subject, running, arriving


def chunks(subject: Scheduler, of: SequenceState) -> list[int]:
    """Sizes of a prompt's chunks, step after step, until it is computed."""
    sizes = []
    while of.num_computed < of.num_prompt_tokens:
        segments = subject.schedule()
        sizes += [segment.num_tokens for segment in segments if segment.sequence is of]
        run(subject, segments)
    return sizes


def test_beside_decodes_a_chunk_takes_no_longer_than_it_may() -> None:
    subject, running, arriving = timed()
    sizes = chunks(subject, arriving)
    past = 0
    for size in sizes:
        assert COST.seconds(size, past) <= CHUNK_S or size == LEAST_CHUNK
        past += size
    assert sizes[:2] == [128, 128]
    assert set(sizes[2:-1]) <= {64, 128}
    assert running.num_generated == 1 + len(sizes)  # none of which kept it waiting


def test_alone_a_prompt_has_the_whole_step() -> None:
    subject, running, arriving = timed()
    subject.remove(running)
    assert chunks(subject, arriving) == [512, 488]


def test_all_chunks_of_a_step_share_its_time_and_the_oldest_always_advances() -> None:
    slow = StepCost(base_s=1.0, token_s=1e-2, seen_s=0.0)
    subject, _, arriving = timed()
    subject._cost = slow
    second = sequence(300, 2, "second")
    subject.submit(second)
    for _ in range(3):
        segments = subject.schedule()
        assert [one.num_tokens for one in segments] == [1, LEAST_CHUNK]
        assert segments[1].sequence is arriving
        run(subject, segments)
    assert subject.waiting == deque([second])


def test_seeded_prompts_have_chunks_of_one_size_whatever_was_measured() -> None:
    for is_alone in (False, True):
        subject, running, arriving = timed(seed=7)
        if is_alone:
            subject.remove(running)
        assert chunks(subject, arriving) == [LEAST_CHUNK] * 15 + [40]
