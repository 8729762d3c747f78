"""From traces to rows, and the walk until saturation."""

from __future__ import annotations

from benchmarks.serving import levels
from benchmarks.serving.load import Level
from benchmarks.serving.watch import Seen

SEEN = Seen(cpu_share=0.1, lag_ms_p50=0.1, lag_ms_p99=1.0, late_ms_p99=1.0)


def row(rate: float, answered: float, tokens: float):
    level = Level(count=8, rate=rate) if rate else Level(count=8, concurrency=2)
    return levels.row("m", "s", level, [{"requests_s": answered, "output_tokens_s": tokens}], SEEN)


def test_saturation_of_open_and_closed_loops() -> None:
    assert not levels.is_saturated([row(4.0, 3.9, 1)])
    assert levels.is_saturated([row(4.0, 3.0, 1)])
    assert not levels.is_saturated([row(0, 1, 100)])
    assert not levels.is_saturated([row(0, 1, 100), row(0, 1, 150)])
    assert levels.is_saturated([row(0, 1, 100), row(0, 1, 103)])


def test_a_sweep_doubles() -> None:
    rates = [level.rate for level in levels.climb(Level(count=8, rate=1.0), 3)]
    assert rates == [1.0, 2.0, 4.0]
    closed = list(levels.climb(Level(count=8, concurrency=2), 3))
    assert [(level.concurrency, level.count) for level in closed] == [(2, 8), (4, 16), (8, 32)]
    assert len(list(levels.climb(Level(count=8), 3))) == 1
