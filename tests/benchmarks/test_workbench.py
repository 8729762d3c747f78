"""Models that are measured are found, or made once in a cache of their own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import workbench
from models.errors import ModelError
from models.refs import Artifact, QuantScheme
from models.store import demo

FULL = Artifact(name="m", path=Path("/models/m"))


class Recorder:
    """Stands in for a quantisation: notes what is asked for, and writes nothing."""

    def __init__(self) -> None:
        self.runs: list[dict] = []

    def __call__(self, **settings) -> Recorder:
        self.runs.append(settings)
        return self

    def run(self) -> None:
        assert self.runs[-1]["target"].parent.is_dir()


@pytest.fixture
def quantisation(monkeypatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(workbench, "Quantisation", recorder)
    monkeypatch.setattr(workbench.store.DirectoryStore, "find", lambda _, name: f"stored {name}")
    return recorder


def cached(monkeypatch, artifact, *, is_stale: bool) -> None:
    answer = SimpleNamespace(artifact=artifact, is_stale=is_stale)
    monkeypatch.setattr(workbench.ensure, "find", lambda *_, **__: answer)


def test_the_cache_lies_where_caches_lie(monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert workbench.cache() == Path("/elsewhere/intramural/benchmarks")


def test_random_models_are_made_in_the_cache_and_others_are_looked_up(
    monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(workbench.random_model, "make", lambda shape, folder: (shape, folder))
    assert workbench.find("random:0.5b", tmp_path / "data", tmp_path) == ("0.5b", tmp_path)
    assert workbench.find("demo", tmp_path, tmp_path / "cache") == demo()
    with pytest.raises(ModelError, match="no-such-model"):
        workbench.find("no-such-model", tmp_path, tmp_path / "cache")


def test_a_model_of_that_scheme_is_taken_as_it_is(quantisation, tmp_path) -> None:
    assert workbench.quantised(FULL, QuantScheme.NONE, tmp_path) is FULL
    assert quantisation.runs == []


def test_what_the_cache_has_is_not_made_again(monkeypatch, quantisation, tmp_path) -> None:
    cached(monkeypatch, FULL, is_stale=False)
    assert workbench.quantised(FULL, QuantScheme.INT8, tmp_path) is FULL
    assert quantisation.runs == []


@pytest.mark.parametrize("is_stale", [False, True])
def test_what_it_has_not_is_made_there(monkeypatch, quantisation, tmp_path, is_stale) -> None:
    cached(monkeypatch, None, is_stale=is_stale)
    assert workbench.quantised(FULL, QuantScheme.INT8, tmp_path) == "stored m--int8"
    (run,) = quantisation.runs
    assert run["source"] is FULL
    assert run["target"].name == "m--int8"
    assert tmp_path in run["target"].parents
    assert run["is_replacing"] is is_stale
