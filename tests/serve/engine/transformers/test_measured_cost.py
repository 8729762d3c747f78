"""Chunks are measured before the engine serves: which, how often, and what their cost is then."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from serve.engine.transformers import measured_cost
from serve.engine.transformers.kv_cache import BLOCK_SIZE
from serve.engine.transformers.sequence import Segment
from serve.engine.transformers.step_cost import StepCost


class Machine:
    """A runner and its clock: each chunk takes what its cost says, and what disturbs it."""

    def __init__(self, cost: StepCost, disturbances: Sequence[float] = ()) -> None:
        self.chunks: list[tuple[int, int]] = []
        self._cost, self._disturbances = cost, list(disturbances)
        self._now = 0.0

    def logits(self, segments: list[Segment]) -> None:
        (segment,) = segments
        blocks = segment.sequence.block_ids
        assert len(blocks) == segment.end // BLOCK_SIZE
        assert max(blocks) < 8
        self.chunks.append((segment.start, segment.num_tokens))
        self._now += self._cost.seconds(segment.num_tokens, segment.start)
        self._now += self._disturbances.pop(0) if self._disturbances else 0.0

    def clock(self) -> float:
        return self._now


def measure(machine: Machine, max_model_len: int = 32768) -> StepCost | None:
    return measured_cost.measure(
        machine,  # type: ignore[arg-type]
        max_model_len=max_model_len,
        num_blocks=512,
        clock=machine.clock,
    )


def test_what_disturbs_one_round_changes_nothing() -> None:
    cost = StepCost(base_s=1e-3, token_s=1e-4, seen_s=1e-8)
    machine = Machine(cost, disturbances=[0.1, 0.0, 0.2])
    measured = measure(machine)
    assert measured is not None
    assert machine.chunks == [(0, 64), (0, 256), (4096, 64)] * 3
    assert measured.token_s == pytest.approx(cost.token_s)
    assert measured.seen_s == pytest.approx(cost.seen_s)


def test_of_a_slow_model_the_least_chunk_alone_is_measured() -> None:
    machine = Machine(StepCost(base_s=1.0, token_s=1e-2, seen_s=0.0))
    measured = measure(machine)
    assert machine.chunks == [(0, 64)]
    assert measured is not None
    assert measured.most_tokens(0, 0.2) == 0


def test_a_short_context_is_measured_as_far_as_it_goes() -> None:
    cost = StepCost(base_s=1e-3, token_s=1e-4, seen_s=1e-8)
    machine = Machine(cost)
    assert measure(machine, max_model_len=200) is not None
    assert set(machine.chunks) == {(0, 64), (0, 192), (128, 64)}
    assert measure(Machine(cost), max_model_len=127) is None
