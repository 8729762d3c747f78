"""Sequences share blocks by what is in them: never another's, never lost, and no token twice.

The KV cache is a table here: what a segment writes says whose tokens it is behind which others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers.scheduler import Scheduler
from serve.engine.transformers.sequence import Segment, SequenceState

BLOCK = 4
EOS = 0


@dataclass
class Written:
    """What lies in one slot of the cache."""

    history: int
    is_exact: bool


def following(token_ids: Sequence[int]) -> int:
    return 7 + len(token_ids) % 2


class Guessing:
    """Guesses what follows, rightly for a while."""

    def guesses(self, token_ids: Sequence[int], most: int, num_running: int) -> list[int]:
        del num_running
        guessed = list(token_ids)
        for _ in range(most):
            guessed.append(following(guessed))
        if len(token_ids) % 3:
            guessed[-1] = 99
        return guessed[len(token_ids) :]


@dataclass
class Simulation:
    """A scheduler, and a cache that tells whose it is."""

    scheduler: Scheduler
    memory: dict[int, Written] = field(default_factory=dict)
    alive: list[SequenceState] = field(default_factory=list)
    num_computed: int = 0
    lookup: Guessing | None = None
    decodes_alone: bool = True

    def submit(self, prompt: Sequence[int], **wanted: Any) -> SequenceState:
        salt, adapter = wanted.pop("salt", None), wanted.pop("adapter", None)
        params = SamplingParams(**({"max_tokens": 3, "temperature": 0.0} | wanted))
        request = EngineRequest(
            request_id="r",
            prompt_token_ids=prompt,
            sampling=params,
            cache_salt=salt,
            adapter=adapter,
        )
        sequence = SequenceState(request=request, stop_token_ids=frozenset())
        sequence.lookup = self.lookup  # type: ignore[assignment]
        self.alive.append(sequence)
        self.scheduler.submit(sequence)
        return sequence

    def step(self) -> list[Segment]:
        segments = self.scheduler.schedule()
        for segment in segments:
            self._compute(segment)
        samplers = [segment for segment in segments if segment.samples]
        self.scheduler.advance(segments)
        for segment in samplers:
            sequence = segment.sequence
            for guess in (*segment.draft.token_ids, None):
                token_id = following(sequence.token_ids)
                sequence.append(token_id, is_computed=token_id == guess)
                if sequence.finish_reason or token_id != guess:
                    break
            if sequence.finish_reason:
                self.remove(sequence)
        return segments

    def remove(self, sequence: SequenceState) -> None:
        self.scheduler.remove(sequence)
        self.alive.remove(sequence)

    def run(self) -> None:
        for _ in range(2000):
            if not self.step():
                break
        assert not self.alive

    def _compute(self, segment: Segment) -> None:
        sequence = segment.sequence
        self.num_computed += segment.num_tokens
        history = hash((sequence.request.cache_salt, sequence.request.adapter))
        is_exact = True
        tokens = [*sequence.token_ids[: segment.known_end], *segment.draft.token_ids]
        for position, token_id in enumerate(tokens):
            history = hash((history, token_id))
            slot = sequence.block_ids[position // BLOCK] * BLOCK + position % BLOCK
            if position >= segment.start:
                is_exact = is_exact and not segment.is_decode
                self.memory[slot] = Written(history, is_exact)
                continue
            found = self.memory[slot]
            assert found.history == history, "another's block, or other tokens"
            is_exact = is_exact and found.is_exact
            if sequence.needs_exact and position < sequence.num_prompt_tokens:
                assert found.is_exact, "a seed hangs on what others have decoded"
            if self.decodes_alone and sequence.is_seeded and position >= sequence.num_prompt_tokens:
                assert not found.is_exact, "a seed hangs on whose prompt its answer was"


def simulation(num_blocks: int = 64, seqs: int = 4, budget: int = 20, **more: bool) -> Simulation:
    flags = {"is_repeatable": True, "is_exact": True, "keeps_prefixes": True} | more
    return Simulation(
        Scheduler(
            num_blocks=num_blocks,
            block_size=BLOCK,
            max_num_seqs=seqs,
            max_num_batched_tokens=budget,
            **flags,
        ),
        decodes_alone=flags["is_repeatable"],
    )


PROMPT = list(range(10, 31))  # five blocks and a token


def test_the_second_prompt_computes_what_is_new() -> None:
    subject = simulation()
    subject.submit(PROMPT)
    subject.run()
    before = subject.num_computed
    again = subject.submit([*PROMPT[:20], 99, 98])
    subject.run()
    assert again.num_cached == 20
    assert subject.num_computed - before == 2 + 2  # its end, and two tokens of its answer
    load = subject.scheduler.prefixes.load()
    assert load is not None
    assert (load.num_queries, load.num_hits) == (43, 20)


def test_an_answer_is_there_for_the_next_turn() -> None:
    subject = simulation()
    first = subject.submit(PROMPT, max_tokens=8)
    subject.run()
    again = subject.submit([*first.token_ids, 50, 51])
    subject.run()
    assert again.num_cached == 28  # the last token of an answer is never computed


def test_the_last_token_is_always_computed() -> None:
    subject = simulation()
    for expected in (0, 16):
        assert subject.submit(PROMPT[:20])
        sequence = subject.alive[-1]
        subject.run()
        assert sequence.num_cached == expected


def test_prompts_that_come_together_are_computed_once() -> None:
    subject = simulation()
    many = [subject.submit([*PROMPT, index]) for index in range(4)]
    subject.run()
    assert [one.num_cached for one in many] == [0, 20, 20, 20]


def test_tenants_and_adapters_share_nothing() -> None:
    subject = simulation()
    names: list[dict[str, str]] = [{}, {"salt": "a"}, {"salt": "b"}, {"salt": "a", "adapter": "x"}]
    cached = []
    for name in names * 2:
        sequence = subject.submit(PROMPT, **name)
        subject.run()
        cached.append(sequence.num_cached)
    assert cached == [0, 0, 0, 0, 20, 20, 20, 20]


@pytest.mark.parametrize("wanted", [{"seed": 3}, {"num_logprobs": 1}], ids=str)
def test_who_measures_takes_what_prompts_have_computed_and_no_answers(
    wanted: dict[str, int],
) -> None:
    subject = simulation()
    first = subject.submit(PROMPT, max_tokens=12)
    subject.run()
    cached = []
    for last in (50, 51):
        sequence = subject.submit([*first.token_ids, last], **wanted)
        subject.run()
        cached.append(sequence.num_cached)
    # The first of them has computed all of it as a prompt, for the second.
    assert cached == [20, 32]


def test_where_chunks_change_roundings_a_seed_takes_nothing() -> None:
    subject = simulation(is_exact=False)
    subject.submit(PROMPT)
    subject.run()
    for wanted, expected in (({"seed": 3}, 0), ({"num_prompt_logprobs": 0}, 0), ({}, 20)):
        sequence = subject.submit(PROMPT, **wanted)
        subject.run()
        assert sequence.num_cached == expected


def test_a_sequence_that_runs_counts_once_as_a_use_of_what_it_found() -> None:
    subject = simulation(seqs=1)
    subject.submit(PROMPT)
    subject.run()
    for _ in range(2):
        subject.submit(PROMPT)  # the second waits for some steps, and looks in each of them
    subject.run()
    kept = subject.scheduler.blocks.hottest_first()
    assert [one.num_uses for one in kept] == [2] * 5
    assert [one.parent for one in kept] == [None, *(one.key for one in kept[:-1])]


def test_who_needs_room_gets_it_at_once() -> None:
    subject = simulation(num_blocks=8)
    subject.submit(PROMPT)
    subject.run()
    assert subject.scheduler.blocks.num_available == 8
    large = subject.submit(list(range(100, 129)))
    subject.step()
    assert len(large.block_ids) == 8
    assert subject.scheduler.blocks.num_evictions == 5
    subject.run()


def test_a_preempted_sequence_comes_back_through_the_cache() -> None:
    subject = simulation(num_blocks=9, budget=32)
    first = subject.submit(list(range(10, 22)), max_tokens=12)
    second = subject.submit(list(range(40, 52)), max_tokens=12)
    while not subject.scheduler.num_preemptions:
        subject.step()
    before = subject.num_computed
    assert second.num_computed == 0
    subject.run()
    assert (first.num_generated, second.num_generated) == (12, 12)
    # Less than all of its tokens anew.
    assert subject.num_computed - before < 24 + 12


def test_a_preempted_seed_computes_its_answer_as_before() -> None:
    """Though another's prompt has gone on as it did: numbers of a prompt are rounded otherwise."""
    subject = simulation(num_blocks=9, budget=32)
    prompt = list(range(10, 22))
    once = subject.submit(prompt, seed=3, max_tokens=12)
    subject.run()
    other = subject.submit([*once.token_ids[:20], 99], num_logprobs=1, max_tokens=12)
    subject.step()
    again = subject.submit(prompt, seed=3, max_tokens=12)
    subject.run()
    assert subject.scheduler.num_preemptions
    assert (other.num_generated, again.token_ids) == (12, once.token_ids)


words = st.sampled_from([[10, 11, 12, 13], [20, 21, 22, 23], [1], [2, 3], [10, 11, 12, 14]])
prompts = st.lists(words, min_size=1, max_size=6).map(lambda parts: [t for p in parts for t in p])
wishes = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 12)},
    optional={
        "salt": st.sampled_from(["a", "b"]),
        "adapter": st.sampled_from(["x", "y"]),
        "seed": st.integers(0, 2),
        "num_logprobs": st.integers(0, 1),
        "num_prompt_logprobs": st.just(0),
    },
)
events = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.tuples(prompts, wishes)),
        st.tuples(st.just("continue"), st.tuples(st.integers(0, 9), wishes)),
        st.tuples(st.just("step"), st.integers(1, 6)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("fail"), st.none()),
    ),
    max_size=30,
)


shapes = st.fixed_dictionaries(
    {
        "num_blocks": st.integers(10, 30),
        "seqs": st.integers(1, 4),
        "is_exact": st.booleans(),
        "is_repeatable": st.booleans(),
    }
)


# Twice the profile's, for `make prove` owes 10,000 runs.
@settings(
    max_examples=2 * settings().max_examples,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(events, shapes, st.integers(0, 20))
def test_nothing_of_another_is_read_and_nothing_leaks(
    script: list[tuple[str, Any]], shape: dict[str, Any], spare: int
) -> None:
    num_blocks = shape["num_blocks"]
    subject = simulation(budget=shape["seqs"] + spare, **shape)
    subject.lookup = Guessing() if spare % 2 else None
    pool = subject.scheduler.blocks
    histories: list[SequenceState] = []
    for verb, value in script:
        if verb == "submit":
            histories.append(subject.submit(value[0], **value[1]))
        elif verb == "continue" and histories:
            # A next turn: all of an earlier sequence, as its tenant or as another.
            tokens = histories[value[0] % len(histories)].token_ids[:20]
            histories.append(subject.submit([*tokens, 5, 6], **value[1]))
        elif verb == "step":
            for _ in range(value):
                subject.step()
        elif verb == "cancel" and subject.alive:
            subject.remove(subject.alive[value % len(subject.alive)])
        elif verb == "fail":
            for dropped in subject.scheduler.reset():
                subject.alive.remove(dropped)
            subject.memory.clear()
        held = {block for one in subject.scheduler.running for block in one.block_ids}
        assert pool.num_available == num_blocks - len(held)
        assert all(not one.block_ids for one in subject.scheduler.waiting)
        assert pool.num_kept <= num_blocks
    subject.run()
    assert pool.num_available == num_blocks
    load = subject.scheduler.prefixes.load()
    assert load is not None
    assert load.num_hits <= load.num_queries
    # What is left is kept, is nobody's, and is given to whoever asks.
    assert sorted(pool.take(num_blocks) or []) == list(range(num_blocks))
    assert pool.num_kept == 0
