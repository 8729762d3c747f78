"""What stands behind the API comes up whole, or not at all."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.refs import Artifact
from models.trust.verify import Mode
from serve import assembly
from serve.assembly import RefusedLoadError, assemble
from serve.config import Config
from serve.errors import StartupError
from serve.observe.metrics import Metrics
from serve.observe.startup import Startup
from serve.provenance.proof import Claim
from serve.service.directory import Directory
from tests.serve.api.house import pipeline_of


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


async def assembled(config: Config) -> tuple[Directory, Startup, Metrics, list[str]]:
    directory = Directory(config.model_names, created=0)
    startup, metrics, phases = Startup(), Metrics(), list[str]()

    def progress(phase: str, done: int, total: int) -> None:
        startup(phase, done, total)
        phases.append(phase)

    await assemble(
        config, {}, directory=directory, startup=startup, metrics=metrics, progress=progress
    )
    return directory, startup, metrics, phases


async def test_what_comes_up_is_published_proven_and_counted() -> None:
    directory, startup, metrics, phases = await assembled(Config(model="demo", engine="fake"))
    served = directory.default
    assert served.state == "resident"
    assert served.weights.digest is not None
    assert served.weights.digest.startswith("sha256:")
    assert startup.is_complete
    assert "verify" in phases
    assert "intramural_model_info{" in metrics.render()[0].decode()
    await served.resident().engine.close()


async def test_a_start_that_fails_says_so_to_the_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise StartupError("no memory")

    monkeypatch.setattr(assembly, "_build_engine", refuse)
    directory, startup = Directory(("demo",), created=0), Startup()
    with pytest.raises(StartupError, match="no memory"):
        await assemble(
            Config(model="demo", engine="fake"),
            {},
            directory=directory,
            startup=startup,
            metrics=Metrics(),
            progress=lambda *_: None,
        )
    assert startup.snapshot()["status"] == "failed"
    assert directory.default.state == "loading"


async def test_an_engine_whose_weights_are_not_proven_is_closed() -> None:
    engine = pipeline_of().engine
    closed: list[bool] = []

    async def close() -> None:
        closed.append(True)

    engine.close = close  # type: ignore[method-assign]

    async def unproven() -> Any:
        raise StartupError("the digest differs")

    async def built() -> Any:
        return engine, "asked for"

    building = asyncio.ensure_future(built())
    await building
    with pytest.raises(StartupError, match="digest differs"):
        await assembly._beside(unproven(), building)
    assert closed == [True]


async def test_weights_that_are_refused_are_not_loaded_to_their_end() -> None:
    """As a thread loads them, which nothing can end, the process has to: the type says so."""
    is_loaded = asyncio.Event()

    async def unproven() -> Any:
        raise StartupError("a file too many")

    async def built() -> Any:
        await is_loaded.wait()

    building = asyncio.ensure_future(built())
    with pytest.raises(RefusedLoadError, match="a file too many"):
        await assembly._beside(unproven(), building)
    assert not building.done()
    is_loaded.set()
    await building


@pytest.mark.parametrize("is_proven", [True, False])
async def test_what_is_wrong_with_the_files_is_told_before_what_an_engine_made_of_them(
    *, is_proven: bool
) -> None:
    is_hashed = asyncio.Event()

    async def proof() -> Any:
        await is_hashed.wait()
        if not is_proven:
            raise StartupError("the digest differs")

    async def built() -> Any:
        raise StartupError("the weights cannot be read")

    building = asyncio.ensure_future(built())
    beside = asyncio.ensure_future(assembly._beside(proof(), building))
    await asyncio.wait({building})
    is_hashed.set()
    with pytest.raises(StartupError, match="cannot be read" if is_proven else "digest differs"):
        await beside


async def test_a_start_that_is_ended_ends_both() -> None:
    forever = [asyncio.ensure_future(asyncio.Event().wait()) for _ in range(2)]
    beside = asyncio.ensure_future(assembly._beside(*forever))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    beside.cancel()
    await asyncio.wait({beside, *forever})
    assert all(task.cancelled() for task in (beside, *forever))


def test_prefixes_of_a_model_without_a_manifest_are_not_kept(tmp_path: Path) -> None:
    config = Config(model="demo", prefix_cache_dir=tmp_path / "cache")
    claim = Claim(artifact=Artifact(name="demo", path=tmp_path), mode=Mode.FULL, manifest=None)
    with pytest.raises(StartupError, match=r"digest in their manifest.*models pull"):
        assembly._check_prefix_store(config, claim)
    assembly._check_prefix_store(Config(model="demo"), claim)


def test_salts_stay_where_prefixes_are_kept(tmp_path: Path) -> None:
    kept, other = (
        Config(model="demo", prefix_cache_dir=tmp_path / name) for name in ("one", "two")
    )
    salts = {assembly._salts(config).of("tenant") for config in (kept, other, kept)}
    assert len(salts) == 2
    unkept = Config(model="demo")
    assert assembly._salts(unkept).of("tenant") != assembly._salts(unkept).of("tenant")


async def test_a_folder_of_prefixes_that_cannot_be_used_is_told_before_weights_are_read(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    config = Config(model="demo", engine="transformers", prefix_cache_dir=folder)
    startup, phases = Startup(), list[str]()
    with pytest.raises(StartupError, match=r"--prefix-cache-dir .*chmod 700"):
        await assemble(
            config,
            {},
            directory=Directory(config.model_names, created=0),
            startup=startup,
            metrics=Metrics(),
            progress=lambda phase, *_: phases.append(phase),
        )
    assert phases == []
