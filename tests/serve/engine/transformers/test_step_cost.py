"""The cost of chunks: fitted to what was measured, and turned into a chunk that is never absurd."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.transformers.layers.sizes import rounded
from serve.engine.transformers.step_cost import LEAST_CHUNK, MOST_CHUNK, StepCost

COST = StepCost(base_s=0.03, token_s=1e-3, seen_s=2e-7)


def fitted(few_s: float, many_s: float, far_s: float) -> StepCost:
    return StepCost.fitted(few_s=few_s, many_s=many_s, far_s=far_s, num_many=256, num_past=4096)


def test_it_finds_the_cost_again_that_explains_what_was_measured() -> None:
    again = fitted(COST.seconds(64, 0), COST.seconds(256, 0), COST.seconds(64, 4096))
    assert again.base_s == pytest.approx(COST.base_s)
    assert again.token_s == pytest.approx(COST.token_s)
    assert again.seen_s == pytest.approx(COST.seen_s)


def test_the_largest_chunk_in_time_is_shorter_the_longer_the_past() -> None:
    sizes = [COST.most_tokens(past, 0.2) for past in (0, 2000, 8000, 30000)]
    assert sizes == [128, 64, 64, 0]
    assert COST.most_tokens(0, 10.0) == MOST_CHUNK
    assert COST.first_chunk == 128
    assert StepCost(base_s=9.0, token_s=0.0, seen_s=0.0).first_chunk == LEAST_CHUNK
    assert COST.seconds(128, 0) <= 0.2 < COST.seconds(192, 0)


@given(*[st.floats(0, 100)] * 3, st.integers(0, 100_000))
def test_no_measurement_makes_an_absurd_chunk(
    few_s: float, many_s: float, far_s: float, past: int
) -> None:
    """Also of a round that something disturbed, in which more tokens took less time."""
    cost = fitted(few_s, many_s, far_s)
    assert min(cost.base_s, cost.token_s, cost.seen_s) >= -1e-9
    size = cost.most_tokens(past, 0.2)
    assert size % LEAST_CHUNK == 0
    assert 0 <= size <= MOST_CHUNK
    if few_s > 1.0 and far_s > few_s:
        assert size == 0


def test_chunks_are_sizes_that_products_have() -> None:
    sizes = range(LEAST_CHUNK, MOST_CHUNK + 1, LEAST_CHUNK)
    assert all(rounded(size) == size for size in sizes)
