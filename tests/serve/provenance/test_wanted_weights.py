"""What is fetched or made for the settings: as it is, by a scheme, or the best of a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.refs import Artifact, QuantScheme
from quantize.plan.choices import BY_QUALITY
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.provenance import wanted_weights
from serve.provenance.quantising import QuantRequest

FOLDER = Artifact(name="m", path=Path("/m"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was to be fetched (its target) or quantised (the request), and whether offline."""
    seen: list[Any] = []

    async def obtain(what: Any, *_: Any, is_offline: bool, **__: Any) -> Artifact:
        seen.append((what, is_offline))
        return FOLDER

    monkeypatch.setattr(wanted_weights.registry, "choose", lambda *_, **__: ("fake", "asked for"))
    monkeypatch.setattr(wanted_weights.fetching, "obtain", obtain)
    monkeypatch.setattr(wanted_weights.quantising, "obtain", obtain)
    return seen


async def obtained(environment: dict[str, str] | None = None, **settings: Any) -> Artifact:
    config = load_config({"model": "demo", "engine": "transformers", **settings}, env={})
    return await wanted_weights.obtain(config, environment or {}, lambda *_: None)


async def test_without_a_scheme_the_model_is_fetched_as_it_is(asked):
    assert await obtained() is FOLDER
    ((target, is_offline),) = asked
    assert not isinstance(target, QuantRequest)
    assert not is_offline


@pytest.mark.parametrize(
    ("environment", "settings"), [({"HF_HUB_OFFLINE": "1"}, {}), ({}, {"offline": True})]
)
async def test_offline_is_said_by_the_settings_or_the_environment(asked, environment, settings):
    await obtained(environment, **settings)
    assert asked[0][1]


async def test_a_scheme_is_made(asked):
    await obtained(quant="int8")
    ((request, _),) = asked
    assert request.choice.scheme == QuantScheme.INT8
    assert (request.among, request.num_bytes) == ((), 0)


async def test_a_budget_chooses_among_what_an_engine_here_runs(asked, monkeypatch):
    def none_runs_int4(*_: Any, scheme: Any, **__: Any) -> tuple[str, str]:
        if scheme == QuantScheme.INT4:
            raise StartupError("none runs it")
        return "transformers", "asked for"

    monkeypatch.setattr(wanted_weights.registry, "choose", none_runs_int4)
    await obtained(quant="auto:1GB")
    ((request, _),) = asked
    assert request.choice is None
    assert request.num_bytes == 10**9
    left = [choice for choice in BY_QUALITY if choice.scheme != QuantScheme.INT4]
    assert list(request.among) == left != list(BY_QUALITY)


async def test_nothing_is_made_that_no_engine_here_would_run(asked, monkeypatch):
    def none(*_: Any, **__: Any) -> Any:
        raise StartupError("none runs it")

    monkeypatch.setattr(wanted_weights.registry, "choose", none)
    with pytest.raises(StartupError, match="none runs it"):
        await obtained(quant="int8")
    assert asked == []
