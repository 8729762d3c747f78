"""What is read on a scrape: the engine's load where there is one, and nothing else's failure."""

from __future__ import annotations

from serve.engine.protocol import EngineLoad
from serve.errors import EngineDeadError
from serve.observe.collectors import ScrapeCollector

PREFIX = "intramural_"


def values_of(collector: ScrapeCollector) -> dict[str, float]:
    return {
        sample.name.removeprefix(PREFIX): sample.value
        for metric in collector.collect()
        for sample in metric.samples
    }


def test_what_nobody_attached_is_absent() -> None:
    assert values_of(ScrapeCollector(None)) == {}


def test_the_engine_is_asked_on_each_scrape() -> None:
    loads = iter(
        EngineLoad(num_running=running, num_waiting=0, kv_cache_usage=0.0, num_steps=1)
        for running in (1, 2)
    )
    collector = ScrapeCollector(lambda: next(loads))
    assert [values_of(collector)["requests_running"] for _ in range(2)] == [1, 2]


def test_a_dead_engine_takes_its_own_figures_along_and_no_others() -> None:
    def dead() -> EngineLoad:
        raise EngineDeadError("it stopped")

    collector = ScrapeCollector(dead)
    collector.num_admitted = lambda: 3
    assert values_of(collector) == {"requests_admitted": 3}
