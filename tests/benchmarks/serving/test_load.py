"""A level sends what was asked for, when it was asked for, and every request leaves a trace."""

from __future__ import annotations

import resource

import pytest

from benchmarks.metrics.request import Targets
from benchmarks.serving import datasets, levels, load
from benchmarks.serving.datasets import Asked, Shape
from benchmarks.serving.load import Level
from benchmarks.serving.watch import Seen, Watch
from tests.benchmarks.serving.stub import Stub, serving

SHAPE = Shape(model="m", input_tokens=20, output_tokens=5)
SEEN = Seen(cpu_share=0.1, lag_ms_p50=0.1, lag_ms_p99=1.0, late_ms_p99=1.0)


async def run(stub: Stub, level: Level, told=lambda _: None):
    async with serving(stub) as endpoint:
        return await load.run(endpoint, level, datasets.requests("synthetic", SHAPE, 0), told)


async def test_a_closed_loop_keeps_so_many_in_flight() -> None:
    stub, told = Stub(pause_s=0.002), []
    traces, _ = await run(stub, Level(count=12, concurrency=3), told.append)
    assert (len(traces), len(stub.asked), stub.seen_at_once) == (12, 12, 3)
    assert told == list(range(1, 13))
    figures = levels.figures(traces, Targets())
    assert (figures["error_share"], figures["completion_tokens"]) == (0.0, 5.0)


async def test_an_open_loop_sends_without_waiting() -> None:
    stub = Stub(pause_s=0.02)
    level = Level(count=8, rate=400.0, pattern="constant")
    traces, _ = await run(stub, level)
    assert stub.seen_at_once > 1
    planned = [trace.due_at - traces[0].due_at for trace in traces]
    assert planned == pytest.approx([number / 400 for number in range(8)])
    assert all(trace.sent_at >= trace.due_at for trace in traces)


async def test_refusals_are_counted_as_such() -> None:
    traces, _ = await run(Stub(most=0), Level(count=5, concurrency=5))
    figures = levels.figures(traces, Targets(ttft_s=1))
    assert (figures["refusal_share"], figures["attainment"], figures["requests_s"]) == (1, 0, 0)
    assert "ttft_ms_p50" not in figures


async def test_a_replay_sends_at_the_recorded_times() -> None:
    stub = Stub()
    body = next(datasets.requests("synthetic", SHAPE, 0)).body
    asked = iter([Asked(body, 0.0), Asked(body, 0.03)])
    async with serving(stub) as endpoint:
        traces, _ = await load.run(endpoint, Level(count=100), asked)
    assert traces[1].due_at - traces[0].due_at == pytest.approx(0.03)


async def test_the_watch_sees_a_loop_that_is_held_up() -> None:
    import asyncio
    import time

    async with Watch() as watch:
        await asyncio.sleep(0.03)
        until = time.process_time() + 0.1
        while time.process_time() < until:  # never gives the loop back, as slow code would
            pass
        await asyncio.sleep(0.03)
    seen = watch.seen([])
    assert seen.lag_ms_p99 > 20
    assert seen.is_bottleneck
    assert "of a core" in str(seen)


def test_who_is_busy_or_late_is_not_to_be_trusted() -> None:
    assert not SEEN.is_bottleneck
    for fact in ("cpu_share", "lag_ms_p99", "late_ms_p99"):
        assert Seen(**{**{n: getattr(SEEN, n) for n in SEEN.__slots__}, fact: 99.0}).is_bottleneck


def test_more_sockets_than_allowed_are_refused_before_any_is_opened() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this machine has no limit on open files")
    with pytest.raises(ValueError, match="hard limit"):
        load.check_files(hard)


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
