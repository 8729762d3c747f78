"""Engines and sequences that tests of teacher forcing share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.quality.sequences import Forced
from serve.engine.settings import EngineSettings
from serve.engine.transformers.engine import TransformersEngine
from tests.benchmarks.quality.forced_sequences import SIZES
from tests.tiny_models import VOCAB_SIZE, write_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "m")


@pytest.fixture(scope="module")
def engine(folder) -> Iterator[TransformersEngine]:
    settings = EngineSettings(max_num_seqs=16, max_model_len=256, kv_cache_tokens=4096)
    engine = TransformersEngine.from_folder(folder, settings, lambda *_: None)
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(scope="module")
def forced() -> list[Forced]:
    source = torch.Generator().manual_seed(3)
    tokens = [
        torch.randint(VOCAB_SIZE, (given + scored,), generator=source).tolist()
        for given, scored in SIZES
    ]
    return [
        Forced(source="ab"[n % 2], given=tuple(t[: SIZES[n][0]]), scored=tuple(t[SIZES[n][0] :]))
        for n, t in enumerate(tokens)
    ]
