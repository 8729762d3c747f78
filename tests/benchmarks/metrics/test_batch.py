"""Prefill and decode come apart, and shares of the machine are counted by hand."""

from __future__ import annotations

import pytest

from benchmarks.metrics.batch import Batch
from benchmarks.roofline import Roofline, StepCost
from tests.benchmarks.traces import trace

COST = StepCost(
    weight_bytes=1000, kv_token_bytes=10, matrix_parameters=50, head_parameters=5, attention_flops=2
)


LIMITS = Roofline(
    device="cpu", threads=1, bytes_s=1e6, kernel="dot", flops_s_by_dtype={"float32": 1e4}
)


def batch() -> Batch:
    """Two sequences of 4 prompt tokens: both decode from 1.5 s until 2.0 s."""
    first = trace(0.0, 1.0, 1.5, 1.75, 2.0, tokens=4)
    second = trace(0.0, 1.5, 1.75, 2.0, 2.25, tokens=4)
    return Batch([first, second], COST, LIMITS)


def test_prefill_and_decode_come_apart() -> None:
    both = batch()
    assert both.prefill_tokens_s == pytest.approx(8 / 1.5)
    assert both.decode_window_s == (1.5, 2.0)
    assert both.decode_tokens == 4  # two of each; the one at 1.5 is before it, at 2.25 after
    assert both.decode_tokens_s == pytest.approx(8.0)
    assert both.decode_context == pytest.approx(4 + (2 + 3 + 1 + 2) / 4)


def test_shares_of_the_machine_by_hand() -> None:
    both = batch()
    step_bytes = 1000 + 2 * both.decode_context * 10
    assert both.mbu == pytest.approx(step_bytes * 4 / 1e6)  # 8 tokens/s of 2 are 4 steps/s
    operations = 2 * 50 * 4 + 2 * 5 + (1 + 2 + 3 + 4) * 2
    assert both.mfu == pytest.approx(2 * operations / 1.5 / 1e4)
    assert Batch(both.traces).mbu is None
    assert Batch(both.traces, COST).mfu is None


def test_one_token_has_no_decode() -> None:
    assert Batch([trace(0.0, 1.0)], COST, LIMITS).decode_tokens_s is None
    assert Batch([trace(0.0, 1.0)], COST, LIMITS).mbu is None
