"""A run over groups of models: which are loaded together, and that none outlives its group."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from benchmarks.quality import engines, measuring
from benchmarks.quality.engines import QualityOptions
from benchmarks.quality.formulas import Rows
from models.progress import Progress, Silent
from models.refs import Artifact
from models.store import demo
from serve.engine.fake import FakeEngine
from serve.engine.settings import VllmSettings

GB = 1 << 30
OPTIONS = QualityOptions(
    engine="transformers",
    items=(),
    texts=[("t", "Once upon a time there was a queue.")],
    window=16,
    max_tokens=8,
    streams=(),
    making={},
)


def models(number: int) -> list[Artifact]:
    return [replace(demo(), name=f"m{at}") for at in range(number)]


@pytest.fixture
def sizes(monkeypatch) -> Callable[..., None]:
    """Sets the memory that is free at each reading, and a weight of 1 GB for every model."""

    def become(*free: int | None) -> None:
        readings = list(free)
        monkeypatch.setattr(
            measuring, "available_bytes", lambda: readings.pop(0) if readings[1:] else readings[0]
        )
        monkeypatch.setattr(measuring.tensors, "num_bytes", lambda _: GB)

    return become


def names(quantised: list[Artifact]) -> list[list[str]]:
    return [[model.name for model in group] for group in measuring.groups(quantised)]


def test_a_group_is_what_fits_into_free_memory(sizes) -> None:
    sizes(5 * GB)
    assert names(models(5)) == [["m0", "m1"], ["m2", "m3"], ["m4"]]


def test_one_at_least_is_loaded_and_none_is_no_group(sizes) -> None:
    sizes(0)
    assert names(models(2)) == [["m0"], ["m1"]]
    assert names([]) == []


def test_memory_is_read_anew_for_every_group(sizes) -> None:
    sizes(2 * GB, 6 * GB)
    assert names(models(4)) == [["m0"], ["m1", "m2", "m3"]]


def test_where_nobody_knows_what_is_free_all_are_one_group(sizes) -> None:
    sizes(None)
    assert names(models(3)) == [["m0", "m1", "m2"]]


class Engine(FakeEngine):
    """Holds itself, as an engine with a model does."""

    def __init__(self, settings) -> None:
        super().__init__(settings)
        self.own = self
        self.is_up = True

    async def close(self) -> None:
        await super().close()
        self.is_up = False


class Run:
    """A run on engines without weights.

    Attributes:
        built: references to the engines, the base's first.
        alive: for each engine that was built, how many were alive before it.
        up: for each engine that was built, how many were not closed before it.
        at: how many are alive at each phase.
    """

    def __init__(self, monkeypatch, *, frees: bool = False) -> None:
        self.built: list[weakref.ref[Engine]] = []
        self.alive: list[int] = []
        self.up: list[int] = []
        self.at: dict[str, int] = {}
        monkeypatch.setattr(engines, "build", self.build)
        monkeypatch.setattr(measuring, "beginning_of", lambda *_: ())
        if not frees:
            monkeypatch.setattr(measuring.memory, "release", lambda: None)
        monkeypatch.setattr(measuring.comparing, "compared", self.compared)
        monkeypatch.setattr(measuring.recorded, "record", self.record)
        monkeypatch.setattr(measuring.recorded, "compared", self.against)

    def build(self, _name, _path, settings, _progress) -> Engine:
        self.alive.append(self.num_alive())
        self.up.append(sum(engine.is_up for it in self.built if (engine := it()) is not None))
        engine = Engine(replace(settings, vllm=VllmSettings()))
        self.built.append(weakref.ref(engine))
        return engine

    def num_alive(self) -> int:
        return sum(reference() is not None for reference in self.built)

    def phase(self, name: str, _total: int = 0) -> None:
        self.at[name] = self.num_alive()

    def advance(self, _: int) -> None: ...

    async def record(self, _base, _forced, file, _report) -> str:
        assert file.read() == b""
        return "recorded"

    async def against(self, base, other, forced, report) -> Rows:
        assert base == "recorded"
        (rows,) = await self.compared(base, [other], forced, report)
        return rows

    async def compared(self, _base, quantised, forced, _report) -> list[Rows]:
        await asyncio.sleep(0)  # as a real one does: the loop lets go of what it handed over
        count = sum(len(sequence.scored) for sequence in forced)
        nll = torch.ones(count, dtype=torch.float64)
        return [
            Rows(
                base_nll=nll,
                quantised_nll=nll,
                kl=torch.full_like(nll, 0.25 * len(self.built)),
                same_top=torch.ones(count, dtype=torch.bool),
            )
            for _ in quantised
        ]


@pytest.fixture
def _quick_collections() -> Iterator[None]:
    """Collections look at what the test makes, and not at all that other tests imported."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_quick_collections")
async def test_no_engine_outlives_its_group(monkeypatch, sizes) -> None:
    run = Run(monkeypatch, frees=True)
    sizes(0)
    await measuring.measure(demo(), models(3), OPTIONS, run)
    assert run.alive == [0, 1, 1, 1]  # the base alone, before each of three groups
    assert run.at["compare"] == 2
    assert run.at["weights"] == 0  # not even the base, while files are read


async def test_models_of_a_group_are_up_together(monkeypatch, sizes) -> None:
    run = Run(monkeypatch)
    sizes(4 * GB)
    await measuring.measure(demo(), models(2), OPTIONS, run)
    assert run.alive == [0, 1, 2]


async def test_of_vllm_no_two_models_are_up_at_any_time(monkeypatch, sizes) -> None:
    """However much of the host's memory is free: on one card the shares of two never fit."""
    run = Run(monkeypatch)
    sizes(100 * GB)
    await measuring.measure(demo(), models(3), replace(OPTIONS, engine="vllm"), run)
    assert run.up == [0, 0, 0, 0]


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
async def test_each_report_has_its_own_model_and_tokens(monkeypatch, sizes, engine) -> None:
    Run(monkeypatch)
    sizes(0)
    options = replace(OPTIONS, engine=engine)
    results = await measuring.measure(demo(), models(2), options, Progress(Silent()))
    reports = [measured.report for measured in results.measured]
    assert [report.quantised.name for report in reports] == ["m0", "m1"]
    assert {report.base.name for report in reports} == {"demo"}
    assert [measured.kl[0] for measured in results.measured] == [0.5, 0.75]
    num_scored = sum(len(sequence.scored) for sequence in results.forced)
    assert {report.agreement["all"].tokens for report in reports} == {num_scored}


async def test_questions_need_a_template(monkeypatch, sizes) -> None:
    Run(monkeypatch)
    sizes(0)
    renderer = measuring.Renderer.load(demo().path)
    renderer.template = None
    monkeypatch.setattr(measuring.Renderer, "load", lambda _: renderer)
    items = [{"messages": [{"role": "user", "content": "hi"}], "expect": {"number": 1}}]
    options = replace(OPTIONS, items=items)
    results = await measuring.measure(demo(), models(1), options, Progress(Silent()))
    assert results.measured[0].report.base.evaluation is None
