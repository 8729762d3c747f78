"""Masks written by hand, through sampler and step loop: they act, and see every token in order."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from serve.engine.delivery import CrossThreadDelivery, Mailbox
from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers.logits_mask import RowMask
from serve.engine.transformers.sampler import Sampled, sample
from serve.engine.transformers.scheduler import Scheduler
from serve.engine.transformers.sequence import Segment, SequenceState
from serve.engine.transformers.step_loop import StepLoop
from serve.errors import InternalError, InvalidRequest

VOCAB_SIZE = 50
STOP = 40


class EvenOnly:
    """Tokens of even ids; after ``num_tokens`` of them the stop token alone."""

    def __init__(self, num_tokens: int = 1000) -> None:
        self.num_left = num_tokens
        self.accepted: list[int] = []
        self.num_closed = 0

    def apply(self, logits: torch.Tensor) -> None:
        assert logits.shape == (VOCAB_SIZE,)
        is_allowed = torch.arange(VOCAB_SIZE) % 2 == 0
        is_allowed[STOP] = False
        if self.num_left == 0:
            is_allowed = torch.arange(VOCAB_SIZE) == STOP
        logits.masked_fill_(~is_allowed, -math.inf)

    def prepare(self) -> None:
        pass

    def allows(self, token_id: int) -> bool:
        return token_id == STOP if self.num_left == 0 else token_id % 2 == 0 and token_id != STOP

    def ahead(self, token_ids: Sequence[int]) -> Sequence[RowMask]:
        return ()

    def forced(self) -> Sequence[int]:
        return ()

    def close(self) -> None:
        self.num_closed += 1

    def accept(self, token_id: int) -> None:
        self.num_left -= 1
        self.accepted.append(token_id)


def sequence(mask: EvenOnly | None = None, **sampling: Any) -> SequenceState:
    params = SamplingParams(**({"max_tokens": 30} | sampling))
    request = EngineRequest(request_id="r", prompt_token_ids=[1, 2, 3], sampling=params)
    return SequenceState(request=request, stop_token_ids=frozenset({STOP}), mask=mask)


def odd_logits(num_rows: int) -> torch.Tensor:
    """Rows in which every odd token is likelier than any even one."""
    generator = torch.Generator().manual_seed(num_rows)
    logits = torch.randn(num_rows, VOCAB_SIZE, generator=generator)
    logits[:, 1::2] += 20
    return logits


def step(segments: Sequence[Segment]) -> list[tuple[SequenceState, Sampled]]:
    sequences = [segment.sequence for segment in segments if segment.samples]
    return list(zip(sequences, sample(odd_logits(len(sequences)), sequences), strict=True))


def scheduler(num_blocks: int = 64) -> Scheduler:
    return Scheduler(num_blocks=num_blocks, block_size=4, max_num_seqs=4, max_num_batched_tokens=16)


async def generate(
    sequences: list[SequenceState], policy: Scheduler | None = None
) -> list[list[int]]:
    """The tokens of each sequence, all in one batch of a step loop."""
    loop = StepLoop(policy or scheduler(), step, CrossThreadDelivery(0.0))
    boxes = [loop.mailbox() for _ in sequences]
    try:
        for one, box in zip(sequences, boxes, strict=True):
            loop.submit(one, box)
        async with asyncio.timeout(10):
            return [await collect(box) for box in boxes]
    finally:
        await asyncio.to_thread(loop.close)


async def collect(box: Mailbox) -> list[int]:
    token_ids: list[int] = []
    while True:
        chunk = await box.take()
        token_ids += chunk.token_ids
        if chunk.finish_reason is not None:
            return token_ids


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 0.0},
        {"temperature": 2.0, "seed": 1},
        {"temperature": 1.0, "seed": 1, "top_p": 0.5},
        {"temperature": 1.0, "seed": 1, "top_k": 3, "min_p": 0.1},
        {"temperature": 0.0, "logit_bias": {7: 100.0}, "frequency_penalty": -2.0},
    ],
    ids=str,
)
async def test_only_what_the_mask_allows_is_chosen(sampling: dict[str, Any]) -> None:
    mask = EvenOnly()
    (token_ids,) = await generate([sequence(mask, **sampling)])
    assert len(token_ids) == 30
    assert all(token_id % 2 == 0 for token_id in token_ids)
    assert mask.accepted == token_ids


async def test_a_mask_is_of_its_own_sequence_alone() -> None:
    first, second = EvenOnly(), EvenOnly()
    answers = await generate(
        [sequence(first), sequence(temperature=0.0), sequence(second, temperature=0.0)]
    )
    assert [first.accepted, second.accepted] == [answers[0], answers[2]]
    assert all(token_id % 2 for token_id in answers[1])


async def test_the_end_of_the_language_ends_the_sequence_and_is_accepted_too() -> None:
    mask = EvenOnly(num_tokens=5)
    (token_ids,) = await generate([sequence(mask, seed=3)])
    assert len(token_ids) == 6
    assert token_ids[-1] == STOP
    assert mask.accepted == token_ids


async def test_what_is_computed_again_after_a_preemption_is_not_accepted_again() -> None:
    masks = [EvenOnly() for _ in range(4)]
    crowd = [sequence(mask, temperature=0.0, max_tokens=20) for mask in masks]
    tight = scheduler(num_blocks=8)  # room for one and a bit
    answers = await generate(crowd, tight)
    assert tight.num_preemptions > 0
    assert [len(answer) for answer in answers] == [20] * 4
    assert [mask.accepted for mask in masks] == answers


def test_logprobs_are_of_the_models_own_distribution_whatever_the_mask() -> None:
    logits = odd_logits(1)
    (chosen,) = sample(logits.clone(), [sequence(EvenOnly(), temperature=0.0, num_logprobs=3)])
    own = logits[0].log_softmax(-1)
    assert chosen.token_id % 2 == 0
    assert chosen.logprob is not None
    assert chosen.logprob.logprob == pytest.approx(float(own[chosen.token_id]))
    assert [token_id for token_id, _ in chosen.logprob.top] == own.topk(3).indices.tolist()


@pytest.mark.parametrize("method", ["apply", "accept"])
async def test_a_mask_that_raises_ends_its_stream_alone(method: str) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    mask = EvenOnly()
    setattr(mask, method, broken)
    loop = StepLoop(scheduler(), step, CrossThreadDelivery(0.0))
    boxes = [loop.mailbox() for _ in range(3)]
    try:
        for box, one in zip(boxes, (sequence(), sequence(mask), sequence()), strict=True):
            loop.submit(one, box)
        async with asyncio.timeout(10):
            assert [len(await collect(boxes[0])), len(await collect(boxes[2]))] == [30, 30]
            with pytest.raises(InternalError):
                await collect(boxes[1])
        loop.check_health()
    finally:
        await asyncio.to_thread(loop.close)


async def test_a_mask_that_leaves_no_token_ends_its_stream_with_an_error() -> None:
    (outcome,) = sample(odd_logits(1), [sequence(NothingLeft())])
    assert isinstance(outcome.error, InvalidRequest)


class NothingLeft(EvenOnly):
    def apply(self, logits: torch.Tensor) -> None:
        logits.fill_(-math.inf)


@pytest.mark.parametrize("penalty", [1e-40, 5e-324])
def test_a_mask_holds_whatever_the_penalties(penalty: float) -> None:
    one = sequence(EvenOnly(), temperature=0.0, repetition_penalty=penalty)
    one.token_ids += [2, 4, 6]
    (outcome,) = sample(odd_logits(1).abs(), [one])
    assert outcome.token_id in {2, 4, 6}
