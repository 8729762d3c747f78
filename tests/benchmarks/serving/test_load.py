"""A level sends what was asked for, when it was asked for, and every request leaves a trace."""

from __future__ import annotations

import resource

import pytest

from benchmarks.metrics.request import Targets
from benchmarks.serving import datasets, levels, load
from benchmarks.serving.datasets import PlannedRequest, Shape
from benchmarks.serving.load import Level
from tests.benchmarks.serving.stub import Stub, serving

SHAPE = Shape(model="m", input_tokens=20, output_tokens=5)


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
    asked = iter([PlannedRequest(body, 0.0), PlannedRequest(body, 0.03)])
    async with serving(stub) as endpoint:
        traces, _ = await load.run(endpoint, Level(count=100), asked)
    assert traces[1].due_at - traces[0].due_at == pytest.approx(0.03)


def test_more_sockets_than_allowed_are_refused_before_any_is_opened() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this machine has no limit on open files")
    with pytest.raises(ValueError, match="hard limit"):
        load.check_files(hard)
