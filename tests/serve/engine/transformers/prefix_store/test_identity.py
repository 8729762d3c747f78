"""An identity changes with everything that could change a bit of what is saved."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import quantize
from serve.engine.transformers.kv_cache import KVCache, LayerShape
from serve.engine.transformers.prefix_store import identity
from serve.engine.transformers.prefix_store.identity import identity_of

CPU = torch.device("cpu")
SHAPE = LayerShape(num_kv_heads=2, key_dim=8, value_dim=8, sliding_window=None)


def cache_of(
    *shapes: LayerShape, num_blocks: int = 4, dtype: torch.dtype = torch.bfloat16
) -> KVCache:
    return KVCache(dict(enumerate(shapes)), num_blocks=num_blocks, dtype=dtype, device=CPU)


def plain(model: str = "sha256:a", dtype: str = "bfloat16", cache: KVCache | None = None) -> bytes:
    return identity_of(model, dtype, cache or cache_of(SHAPE), CPU)


@pytest.fixture
def _forgetful() -> Iterator[None]:
    identity.code_digest.cache_clear()
    yield
    identity.code_digest.cache_clear()


def test_the_same_has_the_same_whatever_the_size_of_the_cache() -> None:
    assert plain() == plain(cache=cache_of(SHAPE, num_blocks=9))
    assert len(plain()) == 32


def test_models_types_and_shapes_are_told_apart() -> None:
    windowed = LayerShape(num_kv_heads=2, key_dim=8, value_dim=8, sliding_window=64)
    others = [
        plain("sha256:b"),
        plain(dtype="int8 (W8A8)"),
        plain(cache=cache_of(SHAPE, dtype=torch.float16)),
        plain(cache=cache_of(SHAPE, SHAPE)),
        plain(cache=cache_of(windowed)),
    ]
    assert len({plain(), *others}) == 6


def test_machines_libraries_and_settings_of_them_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {plain()}
    monkeypatch.setattr(identity, "_machine", lambda _: ("another",))
    seen.add(plain())
    monkeypatch.setattr(identity, "_versions", lambda: iter(["torch 9"]))
    seen.add(plain())
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    seen.add(plain())
    monkeypatch.setattr(identity, "code_digest", lambda: "another")
    seen.add(plain())
    assert len(seen) == 5
    monkeypatch.setenv("EDITOR", "vi")
    assert plain() in seen


@pytest.mark.usefixtures("_forgetful")
def test_a_source_that_changes_changes_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity.code_digest()
    copy = Path(shutil.copytree(Path(quantize.__path__[0]), tmp_path / "quantize"))
    monkeypatch.setattr(identity, "quantize", SimpleNamespace(__path__=[str(copy)]))
    identity.code_digest.cache_clear()
    assert identity.code_digest() == before  # where it lies is no matter
    with (copy / "formats" / "packing.py").open("a") as file:
        file.write("# another\n")
    identity.code_digest.cache_clear()
    assert identity.code_digest() != before
