"""What a start refuses before anything is started, and what watches over the engine after it."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serve import bootstrap
from serve.bootstrap import check_packages
from serve.config import Config
from serve.engine.supervisor import Supervisor
from serve.errors import StartupError
from tests.serve.api.house import pipeline_of


def test_the_packages_are_of_one_origin() -> None:
    check_packages()


def test_packages_of_different_origin_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"serve": "/a/serve", "models": "/a/models", "quantize": "/b/quantize"}

    def imported(name: str) -> Any:
        return SimpleNamespace(__path__=[places[name]])

    monkeypatch.setattr(importlib, "import_module", imported)
    with pytest.raises(StartupError, match=r"quantize from /b\. Fix PYTHONPATH"):
        check_packages()


def test_an_adapter_that_is_none_is_refused_before_the_start(tmp_path: Path) -> None:
    config = Config(lora=(f"bank={tmp_path / 'missing'}",), engine="vllm")
    with pytest.raises(StartupError):
        bootstrap._check_model(config)


def test_a_folder_that_is_no_model_is_refused_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StartupError):
        bootstrap._check_model(Config(model=str(tmp_path / "empty")))


async def test_an_engine_that_nobody_supervises_is_left_alone() -> None:
    end = asyncio.create_task(asyncio.sleep(0))
    await bootstrap._watch(pipeline_of().engine, {end})
    assert end.done()


async def test_an_engine_that_stays_down_ends_the_server() -> None:
    engine = pipeline_of().engine

    def rebuild() -> Any:
        raise StartupError("no memory")

    async def no_time(_seconds: float) -> None:
        await asyncio.sleep(0)

    supervisor = Supervisor(engine, rebuild, sleep=no_time)
    engine.die("It stopped.")  # type: ignore[attr-defined]
    never = asyncio.create_task(asyncio.Event().wait())
    try:
        with pytest.raises(StartupError, match="did not come up"):
            await bootstrap._watch(supervisor, {never})
    finally:
        never.cancel()
