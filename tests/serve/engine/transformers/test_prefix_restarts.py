"""A prompt that one engine has computed is there for the next one, to the last bit, and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serve.engine.protocol import Engine, EngineRequest
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, TransformersSettings
from serve.engine.transformers.kv_cache import BLOCK_SIZE
from serve.engine.transformers.prefix_store import identity, store
from serve.pipeline.cache_salt import CacheSalts
from tests.contracts.engine import collect, request
from tests.tiny_models import VOCAB_SIZE

PROMPT = [3 + (7 * step + step * step) % (VOCAB_SIZE - 3) for step in range(4 * BLOCK_SIZE + 9)]
WISHES: list[dict[str, Any]] = [{"num_logprobs": 3}, {"temperature": 1.0, "seed": 5}]
SALTS = CacheSalts(b"k" * 32)


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    return EngineSettings(
        max_num_seqs=2,
        kv_cache_tokens=16 * BLOCK_SIZE,
        model_digest="sha256:a",
        transformers=TransformersSettings(prefix_cache_dir=tmp_path / "cache"),
    )


@asynccontextmanager
async def running(folder: Path, settings: EngineSettings) -> AsyncIterator[Engine]:
    engine = build("transformers", folder, settings, lambda *_: None)
    try:
        yield engine
    finally:
        await engine.close()


def of(tenant: str, prompt: list[int] = PROMPT, **sampling: Any) -> EngineRequest:
    return replace(request(prompt, **sampling), cache_salt=SALTS.of(tenant))


async def answer(engine: Engine, asked: EngineRequest) -> tuple[int, list[Any]]:
    """Cached tokens, and token ids and their logprobs, in whatever chunks they came."""
    chunks = await collect(engine, asked)
    token_ids = [token_id for chunk in chunks for token_id in chunk.token_ids]
    logprobs = [one for chunk in chunks for one in chunk.logprobs or ()]
    return chunks[0].cached_tokens, [token_ids, logprobs]


@pytest.mark.parametrize("scheme", ["none", "int8"])
async def test_an_answer_is_the_same_after_a_restart(
    folders: dict[str, Path], settings: EngineSettings, scheme: str
) -> None:
    async with running(folders[scheme], settings) as engine:
        before = [
            await answer(engine, of(str(wanted), max_tokens=6, **wanted)) for wanted in WISHES
        ]
    async with running(folders[scheme], settings) as engine:
        assert engine.info.loaded_prefix_tokens == 8 * BLOCK_SIZE
        load = engine.load()
        assert load.kv_cache_usage == 0
        assert load.prefix_cache is not None
        assert load.prefix_cache.num_blocks == 8
        assert (await answer(engine, of("stranger")))[0] == 0
        for wanted, (_, uncached) in zip(WISHES, before, strict=True):
            cached, again = await answer(engine, of(str(wanted), max_tokens=6, **wanted))
            assert cached == 4 * BLOCK_SIZE
            assert again == uncached


Change = Callable[[pytest.MonkeyPatch, EngineSettings], EngineSettings]


def another_code(patch: pytest.MonkeyPatch, settings: EngineSettings) -> EngineSettings:
    patch.setattr(identity, "code_digest", lambda: "another")
    return settings


OTHERS: Mapping[str, Change] = {
    "model": lambda _, settings: replace(settings, model_digest="sha256:b"),
    "dtype": lambda _, settings: replace(settings, dtype="float32"),
    "code": another_code,
    "scheme": lambda _, settings: settings,
    "key": lambda _, settings: settings,
}


async def test_another_model_type_scheme_code_or_key_finds_nothing(
    folders: dict[str, Path], settings: EngineSettings, tmp_path: Path, *, is_proving: bool
) -> None:
    """What differs comes from the engine; test_identity.py has all that can."""
    async with running(folders["none"], settings) as engine:
        await collect(engine, of("a", max_tokens=1))
    key = tmp_path / "key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    for name, change in OTHERS.items() if is_proving else [("scheme", OTHERS["scheme"])]:
        with pytest.MonkeyPatch.context() as patch:
            other = change(patch, settings)
            if name == "key":
                keyed = replace(settings.transformers, prefix_cache_key_file=key)
                other = replace(settings, transformers=keyed)
            async with running(folders["int8" if name == "scheme" else "none"], other) as engine:
                assert engine.info.loaded_prefix_tokens == 0, name
    async with running(folders["none"], settings) as engine:
        assert engine.info.loaded_prefix_tokens == 4 * BLOCK_SIZE


def kill(engine: Any) -> None:
    engine._steps._step = engine._steps._scheduler.reset = None


def hang(engine: Any) -> None:
    engine._steps._has_stalled = True


@pytest.mark.parametrize("harm", [kill, hang])
async def test_an_engine_that_died_or_hung_saves_nothing(
    tiny_qwen2: Path, settings: EngineSettings, harm: Callable[[Engine], None]
) -> None:
    async with running(tiny_qwen2, settings) as engine:
        await collect(engine, of("a", max_tokens=1))
        harm(engine)
        if harm is kill:
            with pytest.raises(Exception, match="stopped"):
                await collect(engine, of("b", max_tokens=1))
    assert settings.transformers.prefix_cache_dir is not None
    assert not list(settings.transformers.prefix_cache_dir.glob("*.kv"))


async def test_who_computed_nothing_writes_nothing(
    tiny_qwen2: Path, settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine whose weights turn out not to be proven is closed before it has served."""
    saved: list[object] = []
    monkeypatch.setattr(store.PrefixStore, "save", lambda *given: saved.append(given))
    async with running(tiny_qwen2, settings):
        pass
    assert not saved
