"""What fails in a step costs as little as it can: no stream hangs, and nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from serve.engine import registry
from serve.engine.protocol import Engine
from serve.engine.settings import EngineSettings
from serve.engine.supervisor import Supervisor
from serve.engine.transformers import (
    draft_check,
    drawing,
    model_runner,
    sampler,
    step_loop,
    warm_up,
)
from serve.engine.transformers.engine import TransformersEngine
from serve.engine.transformers.step_loop import MOST_FAILED_STEPS
from serve.errors import EngineDeadError, InternalError, StartupError, StepFailed, Unavailable
from tests.contracts.engine import collect, idle, prompt_of, request, tokens

NUM_STREAMS = 8
SETTINGS = EngineSettings(max_num_seqs=4, max_model_len=256, max_hold_s=0.0)
KINDS: list[type[BaseException]] = [
    RuntimeError,
    MemoryError,
    torch.OutOfMemoryError,
    ValueError,
    KeyError,
    AssertionError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    RecursionError,
]
"""What a step may raise. An exit in a thread ends nothing but the thread, and that silently."""


async def pause(_: float) -> None:
    await asyncio.sleep(0.001)


@dataclass
class House:
    """A supervised engine over a tiny model, as the composition root makes it."""

    supervisor: Supervisor
    built: list[Engine]

    @property
    def engine(self) -> TransformersEngine:
        engine = self.supervisor._engine
        assert isinstance(engine, TransformersEngine)
        return engine

    @property
    def steps(self) -> Any:
        return self.engine._steps

    async def is_up(self) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    return await self.supervisor.check_health()
                except EngineDeadError:
                    await asyncio.sleep(0.001)

    async def outcomes(self, num_streams: int = NUM_STREAMS, **sampling: Any) -> list[object]:
        """Number of tokens, or the error, of streams that all run at once; none may hang."""
        streams = (
            collect(self.supervisor, request(prompt_of(6, n), **({"max_tokens": 12} | sampling)))
            for n in range(num_streams)
        )
        async with asyncio.timeout(30):
            ended = await asyncio.gather(*streams, return_exceptions=True)
        return [
            one if isinstance(one, BaseException) else sum(len(c.token_ids) for c in one)
            for one in ended
        ]

    async def is_whole(self) -> None:
        """Up by itself, idle, with every block, and right."""
        await self.is_up()
        await idle(self.supervisor)
        scheduler = self.steps._scheduler
        assert scheduler.blocks.num_available == scheduler.blocks.num_blocks
        assert not self.steps._mailboxes
        assert not self.steps._taken
        assert await tokens(self.supervisor, request(max_tokens=6)) == self.expected
        assert await self.outcomes() == [12] * NUM_STREAMS

    expected: list[int] | None = None


@pytest.fixture(scope="module")
def model(tiny_qwen2: Path) -> Iterator[tuple[Path, list[Engine]]]:
    """The folder, and an engine over it that is handed from test to test while it lives."""
    engines: list[Engine] = [registry.build("transformers", tiny_qwen2, SETTINGS, lambda *_: None)]
    yield tiny_qwen2, engines
    asyncio.run(engines[-1].close())


@pytest.fixture
async def house(model: tuple[Path, list[Engine]]) -> AsyncIterator[House]:
    folder, engines = model
    built: list[Engine] = []

    def build() -> Engine:
        built.append(registry.build("transformers", folder, SETTINGS, lambda *_: None))
        return built[-1]

    supervisor = Supervisor(
        engines[-1],
        build,
        salvage=lambda dead: registry.salvage(dead, SETTINGS),
        sleep=pause,
        clock=lambda: 0.0,
    )
    made = House(supervisor, built)
    made.expected = await tokens(supervisor, request(max_tokens=6))
    watching = asyncio.create_task(supervisor.watch())
    yield made
    watching.cancel()
    engines.append(made.engine)


class Plant:
    """Raises at its ``at``-th call, and at ``times`` calls in all; otherwise the real thing."""

    def __init__(
        self, real: Callable[..., Any], error: type[BaseException], at: int = 3, times: int = 1
    ) -> None:
        self.real, self.error, self.at, self.times = real, error, at, times
        self.num_calls = 0
        self.num_raised = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.num_calls += 1
        if self.num_calls >= self.at and self.num_raised < self.times:
            self.num_raised += 1
            raise self.error("planted")
        return self.real(*args, **kwargs)


def places(house: House) -> dict[str, tuple[object, str]]:
    steps = house.steps
    return {
        "schedule": (steps._scheduler, "schedule"),
        "submit": (steps._scheduler, "submit"),
        "advance": (steps._scheduler, "advance"),
        "remove": (steps._scheduler, "remove"),
        "grow": (steps._scheduler, "_grow"),
        "plan": (model_runner, "make_plan"),
        "forward": (house.engine.runner, "_forward"),
        "sample": (draft_check, "sample"),
        "draw": (drawing, "draw"),
        "logprobs": (sampler, "_logprobs"),
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_every_kind_in_the_forward(
    house: House, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = house.engine
    plant = Plant(engine.runner._forward, kind)
    monkeypatch.setattr(engine.runner, "_forward", plant)
    outcomes = await house.outcomes()
    assert plant.num_raised == 1
    failed = [one for one in outcomes if isinstance(one, StepFailed)]
    assert 1 <= len(failed) <= SETTINGS.max_num_seqs  # those of the step; the waiting are kept
    assert [one for one in outcomes if one not in failed] == [12] * (NUM_STREAMS - len(failed))
    assert house.engine is engine
    await house.is_whole()


@pytest.mark.parametrize(
    "place", ["schedule", "submit", "advance", "remove", "grow", "plan", "sample"]
)
@pytest.mark.parametrize("kind", [ValueError, MemoryError, SystemExit], ids=lambda k: k.__name__)
async def test_a_step_that_fails_anywhere(
    house: House, place: str, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = places(house)[place]
    plant = Plant(getattr(owner, name), kind)
    monkeypatch.setattr(owner, name, plant)
    outcomes = await house.outcomes()
    assert plant.num_raised == 1
    assert any(one == 12 for one in outcomes)
    assert all(one == 12 or isinstance(one, (StepFailed, InternalError)) for one in outcomes)
    assert not house.built
    await house.is_whole()


@pytest.mark.parametrize("place", ["draw", "logprobs"])
@pytest.mark.parametrize("kind", [RuntimeError, torch.OutOfMemoryError], ids=lambda k: k.__name__)
async def test_sampling_that_fails_once_is_done_again_row_by_row(
    house: House, place: str, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = {"temperature": 1.0, "seed": 5, "num_logprobs": 2}
    expected = await tokens(house.supervisor, request(max_tokens=8, **sampling))
    owner, name = places(house)[place]
    plant = Plant(getattr(owner, name), kind)
    monkeypatch.setattr(owner, name, plant)
    assert await tokens(house.supervisor, request(max_tokens=8, **sampling)) == expected
    assert await house.outcomes(**sampling) == [12] * NUM_STREAMS
    assert plant.num_raised == 1
    await house.is_whole()


async def test_one_row_that_cannot_be_sampled_ends_its_stream_alone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = drawing.draw

    def draw(logits: torch.Tensor, params: Any, draws: Any) -> torch.Tensor:
        if any(row.top_k == 7 for row in params):
            raise RuntimeError("planted")
        return real(logits, params, draws)

    monkeypatch.setattr(drawing, "draw", draw)
    good = [request(prompt_of(5, n), max_tokens=12, temperature=1.0) for n in range(3)]
    bad = request(max_tokens=12, temperature=1.0, top_k=7)
    ended = await asyncio.gather(
        *(collect(house.supervisor, one) for one in (*good, bad)), return_exceptions=True
    )
    assert isinstance(ended[3], InternalError)
    assert not any(isinstance(one, BaseException) for one in ended[:3])
    await house.is_whole()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
async def test_scores_that_are_no_numbers_end_their_stream_alone(
    house: House, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = house.engine.runner
    real = runner._forward
    num_spoilt = 0

    def forward(plan: Any) -> torch.Tensor:
        nonlocal num_spoilt
        logits = real(plan)
        if logits.shape[0] > 1 and not num_spoilt:
            num_spoilt += 1
            logits[1] = value
        return logits

    monkeypatch.setattr(runner, "_forward", forward)
    outcomes = await house.outcomes()
    assert sum(isinstance(one, InternalError) for one in outcomes) == 1
    assert outcomes.count(12) == NUM_STREAMS - 1
    await house.is_whole()


@pytest.mark.parametrize("name", ["send", "put"])
async def test_a_delivery_that_fails_ends_its_streams_with_an_error(
    house: House, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = house.steps._delivery
    if name == "send":
        monkeypatch.setattr(delivery, "send", Plant(delivery.send, RuntimeError))
    else:
        from serve.engine.delivery import Delivery

        monkeypatch.setattr(Delivery, "put", method(Plant(Delivery.put, RuntimeError, at=9)))
    outcomes = await house.outcomes()
    failed = [one for one in outcomes if isinstance(one, InternalError)]
    assert len(failed) == 1 if name == "put" else 1 <= len(failed) <= SETTINGS.max_num_seqs
    assert [one for one in outcomes if one not in failed] == [12] * (NUM_STREAMS - len(failed))
    await house.is_whole()


def method(plant: Plant) -> Callable[..., Any]:
    """A function, which is bound as a method; an object that is called is not."""

    def planted(*args: Any) -> Any:
        return plant(*args)

    return planted


async def test_steps_that_go_on_failing_are_a_death_from_which_it_comes_back_without_reading(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest keeps what is logged, and a traceback keeps what was there when a step failed.
    monkeypatch.setattr(step_loop._log, "disabled", True)
    dead = house.engine
    gone = weakref.ref(dead.runner._cache)
    loaded = dead._loaded
    plant = Plant(dead.runner._forward, MemoryError, times=MOST_FAILED_STEPS)
    monkeypatch.setattr(dead.runner, "_forward", plant)
    outcomes = await house.outcomes(3 * SETTINGS.max_num_seqs)
    assert all(isinstance(one, (Unavailable, int)) for one in outcomes)
    assert plant.num_raised == MOST_FAILED_STEPS
    await house.is_up()
    assert house.engine is not dead
    assert house.engine._loaded is loaded
    assert not house.built
    del dead, plant
    monkeypatch.undo()
    gc.collect()
    assert gone() is None  # there need be no memory for two caches
    await house.is_whole()


async def test_a_death_while_nothing_can_be_allocated_is_survived(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty failures: of steps, of the cache's allocation, of the warm-up."""
    for place, name in ((warm_up, "choose_lengths"), (warm_up, "check_arithmetic")):
        plant = Plant(getattr(place, name), MemoryError, at=1, times=2)
        monkeypatch.setattr(place, name, plant)
        house.steps._scheduler.reset = None
        monkeypatch.setattr(house.engine.runner, "_forward", Plant(len, MemoryError, at=1))
        outcomes = await house.outcomes()
        assert all(isinstance(one, Unavailable) for one in outcomes)
        await house.is_up()
        assert plant.num_raised == 2
        monkeypatch.undo()
    assert len(house.built) == 2
    await house.is_whole()


async def test_a_model_that_is_harmed_is_read_again(house: House) -> None:
    model = house.engine.runner._model
    with torch.inference_mode():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    outcomes = await house.outcomes()
    assert all(isinstance(one, InternalError) for one in outcomes)
    house.steps._scheduler.reset = house.steps._step = None
    await house.outcomes()
    await house.is_up()
    assert len(house.built) == 1
    await house.is_whole()


async def test_twenty_failed_allocations_under_load(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        runner = house.engine.runner
        plant = Plant(runner._forward, MemoryError, at=1 + number % 5)
        monkeypatch.setattr(runner, "_forward", plant)
        outcomes = await house.outcomes()
        assert plant.num_raised == 1
        assert all(one == 12 or isinstance(one, StepFailed) for one in outcomes)
        monkeypatch.undo()
    await house.is_whole()


async def test_a_step_that_never_returns_ends_the_server(
    model: tuple[Path, list[Engine]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = model
    engine = registry.build(
        "transformers", folder, replace(SETTINGS, max_num_seqs=2), lambda *_: None
    )
    assert isinstance(engine, TransformersEngine)
    steps: Any = engine._steps
    monkeypatch.setattr("serve.engine.transformers.step_loop.CLOSE_S", 0.01)
    steps._stall_after_s = 0.01
    may_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = steps._step

    def hanging(segments: Any) -> Any:
        asyncio.run_coroutine_threadsafe(may_end.wait(), loop).result()
        return real(segments)

    steps._step = hanging
    supervisor = Supervisor(engine, lambda: engine, sleep=pause)
    stream = asyncio.create_task(collect(supervisor, request()))
    with pytest.raises(StartupError, match="does not return"):
        await asyncio.wait_for(supervisor.watch(), 20)
    with pytest.raises(EngineDeadError):
        await stream
    with pytest.raises(EngineDeadError):
        await supervisor.check_health()
    may_end.set()
    await asyncio.to_thread(steps._thread.join)
    assert await asyncio.to_thread(steps.close)
