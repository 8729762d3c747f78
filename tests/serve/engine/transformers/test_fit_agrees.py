"""`models fit` and what this engine holds: the same bytes of weights, and of a token's cache."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from models.__main__ import main
from models.refs import QuantScheme
from models.store import DEMO_WEIGHTS
from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from serve.engine.transformers.engine import TransformersEngine
from tests.quantized_models import write_quantized

SETTINGS = EngineSettings(max_num_seqs=2, max_model_len=256, kv_cache_tokens=512)


@pytest.mark.parametrize("scheme", [QuantScheme.NONE, QuantScheme.INT8, QuantScheme.INT4])
def test_fit_says_what_is_held(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scheme: QuantScheme
) -> None:
    folder = DEMO_WEIGHTS
    if scheme is not QuantScheme.NONE:
        folder = write_quantized(DEMO_WEIGHTS, tmp_path / "small", scheme)
    engine = build("transformers", folder, SETTINGS, lambda *_: None)
    assert isinstance(engine, TransformersEngine)
    cache = engine.runner._cache
    held = sum(shape.bytes_per_token(cache.keys[0].dtype) for shape in cache.shapes.values())
    try:
        for name in ("demo", str(folder)):
            words = ["fit", name, "--memory", "8GB", "--json", "--data-dir", str(tmp_path)]
            words += ["--quant", str(scheme)]
            assert main(words) == 0
            (said,) = json.loads(capsys.readouterr().out)["schemes"]
            # Of stored ones the shapes of packed matrices count, 16 bytes each.
            assert said["weights_bytes"] == pytest.approx(engine.info.weight_bytes, rel=0.01)
            assert said["kv_bytes_per_token"] == held
    finally:
        asyncio.run(engine.close())
