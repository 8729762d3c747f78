"""Whether the load generator is the bottleneck."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.serving.watch import ClientLoad, Watch

CLIENT = ClientLoad(cpu_share=0.1, lag_ms_p50=0.1, lag_ms_p99=1.0, late_ms_p99=1.0)


async def test_the_watch_sees_a_loop_that_is_held_up() -> None:
    import asyncio
    import time

    async with Watch() as watch:
        await asyncio.sleep(0.03)
        until = time.process_time() + 0.1
        while time.process_time() < until:  # never gives the loop back, as slow code would
            pass
        await asyncio.sleep(0.03)
    seen = watch.client_load([])
    assert seen.lag_ms_p99 > 20
    assert seen.is_bottleneck
    assert "of a core" in str(seen)


def test_who_is_busy_or_late_is_not_to_be_trusted() -> None:
    assert not CLIENT.is_bottleneck
    for fact in ("cpu_share", "lag_ms_p99", "late_ms_p99"):
        assert replace(CLIENT, **{fact: 99.0}).is_bottleneck


async def test_lateness_is_that_of_the_latest_requests() -> None:
    async with Watch() as watch:
        pass
    seen = watch.client_load([0.0] * 50 + [1.0] * 50)
    assert seen.late_ms_p99 == 1000
    assert seen.is_bottleneck


async def test_a_watch_ends_with_its_run() -> None:
    import asyncio

    async with Watch() as watch:
        before = len(asyncio.all_tasks())
    assert len(asyncio.all_tasks()) == before - 1
    assert watch.client_load([]).late_ms_p99 == 0
