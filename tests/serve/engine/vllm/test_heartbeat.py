"""A busy engine is not a hung one, an idle one neither."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from serve.engine.protocol import PrefixCacheLoad
from serve.engine.vllm.heartbeat import Heartbeat


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heartbeat(clock: Clock) -> Heartbeat:
    return Heartbeat(10.0, clock)


def figures(running: int, usage: float, queries: int = 0, hits: int = 0) -> SimpleNamespace:
    prefixes = SimpleNamespace(queries=queries, hits=hits)
    return SimpleNamespace(
        num_running_reqs=running, kv_cache_usage=usage, prefix_cache_stats=prefixes
    )


def test_what_each_step_asked_of_the_prefix_cache_is_summed(heartbeat: Heartbeat) -> None:
    heartbeat.record(figures(1, 0.5, queries=300, hits=0))
    heartbeat.record(figures(1, 0.5))
    heartbeat.record(figures(1, 0.5, queries=310, hits=256))
    assert heartbeat.load().prefix_cache == PrefixCacheLoad(num_queries=610, num_hits=256)


def test_idle_is_not_hung(heartbeat: Heartbeat, clock: Clock) -> None:
    clock.now = 1e6
    assert heartbeat.stalled_s() is None
    heartbeat.opened()
    assert heartbeat.stalled_s() is None
    clock.now += 10.0
    assert heartbeat.stalled_s() is None


def test_no_step_for_too_long_is_hung(heartbeat: Heartbeat, clock: Clock) -> None:
    heartbeat.opened()
    clock.now += 10.5
    assert heartbeat.stalled_s() == 10.5
    heartbeat.closed()
    assert heartbeat.stalled_s() is None


def test_steps_without_tokens_are_progress(heartbeat: Heartbeat, clock: Clock) -> None:
    heartbeat.opened()
    for _ in range(100):
        clock.now += 9.0
        heartbeat.record(figures(1, 0.5))
        assert heartbeat.stalled_s() is None
    assert heartbeat.load().num_steps == 100


def test_a_newcomer_does_not_reset_the_patience(heartbeat: Heartbeat, clock: Clock) -> None:
    heartbeat.opened()
    clock.now += 9.0
    heartbeat.opened()
    clock.now += 2.0
    assert heartbeat.stalled_s() == 11.0


def test_the_load_is_of_open_streams(heartbeat: Heartbeat) -> None:
    assert heartbeat.load().num_running == 0
    for _ in range(3):
        heartbeat.opened()
    assert (heartbeat.load().num_running, heartbeat.load().num_waiting) == (0, 3)
    heartbeat.record(figures(2, 0.25), None, mm_cache_stats=None, engine_idx=0)
    load = heartbeat.load()
    assert (load.num_running, load.num_waiting, load.kv_cache_usage) == (2, 1, 0.25)
    for _ in range(3):
        heartbeat.closed()
    load = heartbeat.load()
    assert (load.num_running, load.num_waiting, load.kv_cache_usage) == (0, 0, 0.0)


def test_a_step_may_come_without_figures(heartbeat: Heartbeat) -> None:
    heartbeat.record(None)
    assert heartbeat.load().num_steps == 1
