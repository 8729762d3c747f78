"""The supervisor brings an engine back, at the pace it should, and gives up when it must."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from serve.engine import supervisor as supervisor_module
from serve.engine.fake import FakeEngine
from serve.engine.protocol import Engine, EngineLoad, PrefixCacheLoad
from serve.engine.settings import EngineSettings, FakeSettings
from serve.engine.supervisor import BACK_OFF_S, PAUSED_S, POLL_S, STEADY_S, Supervisor
from serve.errors import EngineDeadError, StartupError
from tests.contracts.engine import EngineContract, Kill, request


class Clock:
    """Time that passes only while the supervisor waits, not while it looks."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if seconds != POLL_S:
            self.now += seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)

    @property
    def waits(self) -> list[float]:
        """What was slept between attempts: all but the regular looks."""
        return [seconds for seconds in self.slept if seconds != POLL_S]


def fake() -> FakeEngine:
    return FakeEngine(EngineSettings(max_num_seqs=8, max_model_len=512))


class Builder:
    """Builds fake engines; fails the first ``num_failures`` times."""

    def __init__(self, num_failures: int = 0) -> None:
        self.num_failures = num_failures
        self.built: list[FakeEngine] = []
        self.threads: set[int] = set()

    def __call__(self) -> Engine:
        self.threads.add(threading.get_ident())
        if self.num_failures:
            self.num_failures -= 1
            raise StartupError("no memory")
        self.built.append(fake())
        return self.built[-1]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def supervised(clock: Clock, builder: Builder) -> tuple[Supervisor, FakeEngine]:
    first = fake()
    return Supervisor(first, builder, clock=clock, sleep=clock.sleep), first


async def until_up(supervisor: Supervisor) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                return await supervisor.check_health()
            except EngineDeadError:
                await asyncio.sleep(0.001)


@pytest.fixture
async def watched(clock: Clock) -> AsyncIterator[tuple[Supervisor, FakeEngine, Builder]]:
    builder = Builder()
    supervisor, first = supervised(clock, builder)
    task = asyncio.create_task(supervisor.watch())
    yield supervisor, first, builder
    task.cancel()
    await supervisor.close()


async def test_it_comes_back_and_serves(
    watched: tuple[Supervisor, FakeEngine, Builder],
) -> None:
    supervisor, first, builder = watched
    stream = supervisor.stream(request(max_tokens=400))
    await anext(stream)
    steps = supervisor.load().num_steps
    assert supervisor.load().num_deaths == 0
    first.die("killed")
    with pytest.raises(EngineDeadError):
        async for _ in stream:
            pass
    with pytest.raises(EngineDeadError):  # at once, before the watch has looked
        await supervisor.check_health()
    await until_up(supervisor)
    async for chunk in supervisor.stream(request()):
        assert chunk.token_ids
    assert supervisor.load().num_steps > steps
    assert supervisor.load().num_deaths == 1
    assert len(builder.built) == 1
    assert threading.get_ident() not in builder.threads


async def test_while_it_is_down_requests_are_refused(clock: Clock) -> None:
    supervisor, first = supervised(clock, Builder(num_failures=len(BACK_OFF_S)))
    first.die()
    with pytest.raises(StartupError):
        await supervisor.watch()
    with pytest.raises(EngineDeadError):
        supervisor.stream(request())
    with pytest.raises(EngineDeadError):
        await supervisor.check_health()
    load = supervisor.load()
    assert (load.num_running, load.num_waiting, load.kv_cache_usage) == (0, 0, 0)
    assert load.num_deaths == 1
    assert supervisor.info == first.info
    await supervisor.close()


async def test_it_is_given_up_after_five_failures(clock: Clock) -> None:
    builder = Builder(num_failures=99)
    supervisor, first = supervised(clock, builder)
    first.die("out of memory")
    with pytest.raises(StartupError, match=r"out of memory.* 5 attempts"):
        await supervisor.watch()
    assert builder.num_failures == 99 - 5
    assert clock.waits == list(BACK_OFF_S)


@pytest.mark.parametrize("num_failures", range(len(BACK_OFF_S)))
async def test_fewer_failures_are_survived(clock: Clock, num_failures: int) -> None:
    builder = Builder(num_failures)
    supervisor, first = supervised(clock, builder)
    task = asyncio.create_task(supervisor.watch())
    first.die()
    await until_up(supervisor)
    assert len(builder.built) == 1
    assert clock.waits == list(BACK_OFF_S[: num_failures + 1])
    task.cancel()


async def test_one_that_keeps_dying_comes_back_more_slowly(clock: Clock) -> None:
    builder = Builder()
    supervisor, engine = supervised(clock, builder)
    task = asyncio.create_task(supervisor.watch())
    for _ in range(4):
        clock.slept.clear()
        engine.die()
        await until_up(supervisor)
        engine = builder.built[-1]
    assert clock.waits == [BACK_OFF_S[3]]
    clock.now += STEADY_S
    clock.slept.clear()
    engine.die()
    await until_up(supervisor)
    assert clock.waits == [BACK_OFF_S[0]]
    task.cancel()


async def test_one_that_comes_up_too_late_is_closed(clock: Clock) -> None:
    begun, may_end = threading.Event(), threading.Event()
    late = fake()

    def slow() -> Engine:
        begun.set()
        may_end.wait(20)
        return late

    first = fake()
    supervisor = Supervisor(first, slow, clock=clock, sleep=clock.sleep)
    task = asyncio.create_task(supervisor.watch())
    first.die()
    await asyncio.to_thread(begun.wait, 20)
    await supervisor.close()
    task.cancel()
    may_end.set()
    async with asyncio.timeout(20):
        while True:
            try:
                await late.check_health()
            except EngineDeadError:
                break
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, KeyError, OSError])
async def test_whatever_an_attempt_raises_is_one_attempt(
    clock: Clock, error: type[Exception]
) -> None:
    num_attempts = 0

    def broken() -> Engine:
        nonlocal num_attempts
        num_attempts += 1
        raise error("planted")

    first = fake()
    supervisor = Supervisor(first, broken, clock=clock, sleep=clock.sleep)
    first.die("out of memory")
    with pytest.raises(StartupError, match=r"out of memory.* 5 attempts"):
        await supervisor.watch()
    assert num_attempts == len(BACK_OFF_S)


async def test_what_the_dead_one_has_left_is_tried_first_and_once(clock: Clock) -> None:
    builder, revived = Builder(), fake()
    outcomes: list[Engine | None] = [revived, None]
    calls: list[Engine] = []

    def salvage(dead: Engine) -> Callable[[], Engine]:
        calls.append(dead)

        def revive() -> Engine:
            engine = outcomes.pop(0)
            if engine is None:
                raise StartupError("harmed")
            return engine

        return revive

    first = fake()
    supervisor = Supervisor(first, builder, salvage=salvage, clock=clock, sleep=clock.sleep)
    task = asyncio.create_task(supervisor.watch())
    first.die()
    await until_up(supervisor)
    assert (calls, builder.built) == ([first], [])
    revived.die()  # soon again: what it has left is not trusted
    await until_up(supervisor)
    assert (calls, len(builder.built)) == ([first], 1)
    clock.now += STEADY_S
    builder.built[-1].die()
    await until_up(supervisor)
    assert len(calls) == 2
    assert len(builder.built) == 2
    assert outcomes == []
    task.cancel()


async def test_a_look_that_was_paused_itself_does_not_count(clock: Clock) -> None:
    """The whole process was stopped: the engine has had no time either."""
    builder = Builder()
    looks = 0

    class Stalled(FakeEngine):
        async def check_health(self) -> None:
            nonlocal looks
            looks += 1
            await super().check_health()

    engine = Stalled(EngineSettings(max_num_seqs=8, max_model_len=512))
    was_paused = False

    async def sleep(seconds: float) -> None:
        nonlocal was_paused
        await clock.sleep(seconds)
        if looks == 3 and not was_paused:
            was_paused = True
            clock.now += 10 * PAUSED_S
            engine._death = "no progress for 50 s"
            asyncio.get_running_loop().call_soon(setattr, engine, "_death", None)

    supervisor = Supervisor(engine, builder, clock=clock, sleep=sleep)
    task = asyncio.create_task(supervisor.watch())
    while looks < 10:
        await asyncio.sleep(0)
    assert not builder.built
    task.cancel()


class TestSupervisedContract(EngineContract):
    """With nobody watching it, a supervisor is its engine."""

    @pytest.fixture
    def engine(self) -> Engine:
        settings = EngineSettings(
            max_num_seqs=8, max_model_len=512, fake=FakeSettings(chunk_sizes=(1, 3))
        )
        return Supervisor(FakeEngine(settings), Builder())

    @pytest.fixture
    def kill(self) -> Kill:
        def die(engine: Engine) -> None:
            engine._engine.die()  # type: ignore[attr-defined]

        return die


async def test_what_the_dead_counted_is_kept(clock: Clock) -> None:
    supervisor, first = supervised(clock, Builder())
    counted = EngineLoad(
        num_running=1,
        num_waiting=2,
        kv_cache_usage=0.5,
        num_steps=7,
        num_draft_tokens=5,
        num_accepted_tokens=3,
        prefix_cache=PrefixCacheLoad(num_queries=9, num_hits=4, num_evictions=2, num_blocks=6),
    )
    first.load = lambda: counted  # type: ignore[method-assign]
    assert supervisor.load() == counted
    await supervisor._taken_down()
    assert supervisor.load() == replace(
        counted,
        num_running=0,
        num_waiting=0,
        kv_cache_usage=0.0,
        num_deaths=1,
        prefix_cache=PrefixCacheLoad(num_queries=9, num_hits=4, num_evictions=2, num_blocks=0),
    )
    await supervisor.close()


@pytest.mark.parametrize("num_evictions", [None, 5])
def test_figures_of_prefix_caches_are_added(num_evictions: int | None) -> None:
    before = PrefixCacheLoad(num_queries=9, num_hits=4, num_evictions=2, num_blocks=6)
    now = PrefixCacheLoad(num_queries=1, num_hits=1, num_evictions=num_evictions, num_blocks=3)
    assert supervisor_module._counted_together(before, now) == PrefixCacheLoad(
        num_queries=10,
        num_hits=5,
        num_evictions=None if num_evictions is None else 7,
        num_blocks=3,
    )
    assert supervisor_module._counted_together(None, now) is now
