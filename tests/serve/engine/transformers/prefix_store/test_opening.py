"""The store that settings ask for."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from serve.engine.settings import EngineSettings, TransformersSettings
from serve.engine.transformers.kv_cache import KVCache
from serve.engine.transformers.prefix_store.opening import prefix_store_of
from serve.engine.transformers.prefix_store.store import PrefixStore
from serve.errors import StartupError

CPU = torch.device("cpu")


def opened(settings: EngineSettings) -> PrefixStore | None:
    cache = KVCache({}, num_blocks=1, dtype=torch.float32, device=CPU)
    return prefix_store_of(settings, "float32", cache, CPU)


def test_nothing_is_opened_unless_it_is_asked_for() -> None:
    assert opened(EngineSettings(model_digest="sha256:a")) is None


def test_a_key_beside_what_it_locks_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked = TransformersSettings(prefix_cache_dir=tmp_path / "cache", prefix_cache_file_bytes=77)
    store = opened(EngineSettings(model_digest="sha256:a", transformers=asked))
    assert store is not None
    assert store.max_bytes == 77
    assert "can read what is in it" in caplog.text


def test_a_model_without_a_digest_is_refused(tmp_path: Path) -> None:
    asked = TransformersSettings(prefix_cache_dir=tmp_path / "cache")
    with pytest.raises(StartupError, match="digest"):
        opened(EngineSettings(transformers=asked))
    assert not (tmp_path / "cache").exists()
