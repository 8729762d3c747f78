"""Quantised checkpoints in the transformers engine: logits, the contract, memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.refs import QuantScheme
from serve.engine import model_files
from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from serve.engine.transformers.kernels import native
from serve.engine.transformers.layers.packed_linear import PackedEmbedding
from serve.engine.transformers.layers.quantized_linear import QuantizedLinear
from serve.engine.transformers.loader import served_dtypes
from serve.engine.transformers.loader.stored_scheme import RUNS
from serve.errors import EngineDeadError
from tests.contracts.engine import EngineContract, Kill, prompt_of, request, tokens
from tests.quantized_models import write_quantized
from tests.serve.engine.checkpoints import WEIGHTS, dequantised, distance, load, logits
from tests.tiny_models import write_tiny_model

EXACT, ROUNDED = 1e-5, 0.07
"""Relative distances of logits from the dequantised forward, and where activations are rounded."""
SAID = {
    QuantScheme.INT8: "int8 (W8A8)",
    QuantScheme.INT8_WEIGHT_ONLY: "int8 (W8A8)",
    QuantScheme.INT8_W8A8: "int8 (W8A8)",
    QuantScheme.INT4: "int4 (W4A8), int8 (W8A8)",
    QuantScheme.NF4: "nf4 (W4A16)",
    QuantScheme.BNB_INT8: "int8 (W8A8)",
}
WITH_TABLES = (QuantScheme.INT8, QuantScheme.INT4)
"""Schemes that take head and embedding, too."""


@pytest.mark.parametrize("scheme", RUNS)
@pytest.mark.parametrize("architecture", ["qwen2", "gemma3_text", "phi3"])
def test_logits_are_those_of_the_dequantised_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: QuantScheme, architecture: str
) -> None:
    source = write_tiny_model(tmp_path / "full", architecture)
    folder = write_quantized(source, tmp_path / "small", scheme)
    reference = dequantised(folder, tmp_path / "again")
    expected = {length: logits(reference, length) for length in (1, 8, 300)}
    bound = EXACT if scheme is QuantScheme.NF4 else ROUNDED
    for has_loops in (True, False):
        monkeypatch.setattr(native, "is_available", lambda has_loops=has_loops: has_loops)
        model = load(folder, dtype="float32")
        for length, known in expected.items():
            assert distance(logits(model, length), known) < (bound if has_loops else EXACT)


@pytest.mark.parametrize("scheme", ["int8", "int8-weight-only", "bnb-int8"])
def test_logits_are_near_those_in_bfloat16(folders: dict[str, Path], scheme: str) -> None:
    """Bounds for noise of this size as weights; a trained model's are in docs/quality.md."""
    full, small = load(folders["none"]), load(folders[scheme])
    assert distance(logits(small, 64), logits(full, 64)) < 0.1


@pytest.mark.parametrize("scheme", RUNS)
def test_no_weight_is_held_twice_and_the_bytes_are_told(
    folders: dict[str, Path], scheme: QuantScheme
) -> None:
    model = load(folders[scheme])
    held = served_dtypes.held(model)
    layers = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    is_fused = scheme not in (QuantScheme.NF4, QuantScheme.BNB_INT8)
    has_tables = scheme in WITH_TABLES
    # q, k and v are one, gate and up too
    assert len(layers) == 2 * (4 if is_fused else 7) + has_tables
    weights: Counter[str] = Counter()
    for layer in layers[: len(layers) - has_tables]:
        weights[layer.stored_as] += layer.in_features * layer.out_features
    assert set(weights) == ({"int4", "int8"} if scheme == "int4" else {layers[0].stored_as})
    for stored, num in weights.items():
        assert held[type(layers[0]).__name__][stored] == (num if stored == "int8" else num // 2)
    assert "Linear" not in held
    tensors = load_file(folders[scheme] / WEIGHTS)
    twice = sum(part.nbytes for name, part in tensors.items() if name.startswith("lm_head."))
    assert bool(twice) is has_tables
    files = model_files.weight_files(folders[scheme]).total_bytes - twice
    texts = 4_000  # shapes, levels and what else is read once and not kept
    zeros = 5_000  # of 4 bits on disk, in a byte each
    assert files - texts <= served_dtypes.resident_bytes(model) <= files + zeros
    assert not any(p.dtype is torch.bfloat16 and p.ndim == 2 for p in layers[0].parameters())
    assert served_dtypes.num_parameters(load(folders["none"])) == (
        served_dtypes.num_parameters(model)
    )
    assert isinstance(model.model.embed_tokens, PackedEmbedding) is has_tables


@pytest.mark.parametrize("scheme", RUNS)
async def test_the_engine_says_what_it_serves(
    folders: dict[str, Path], scheme: QuantScheme
) -> None:
    engine = build("transformers", folders[scheme], EngineSettings(), lambda *_: None)
    assert engine.info.dtype == f"{SAID[scheme]}, bfloat16"
    long = prompt_of(200)
    assert len(await tokens(engine, request(long, max_tokens=5))) == 5
    await engine.close()


# The contract


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    engines: dict[str, Engine] = {}
    yield engines
    for engine in engines.values():
        asyncio.run(engine.close())


class TestQuantizedContract(EngineContract):
    @pytest.fixture(params=["int8", "int4", "nf4"])
    async def engine(
        self,
        request: pytest.FixtureRequest,
        folders: dict[str, Path],
        engines: dict[str, Engine],
    ) -> Engine:
        name: str = request.param
        # In float32: two ways to batch a token must not differ by a rounding of bfloat16.
        settings = EngineSettings(max_num_seqs=8, max_model_len=512, dtype="float32")
        try:
            await engines[name].check_health()
        except (KeyError, EngineDeadError):  # the first test, or one that killed it
            engines[name] = build("transformers", folders[name], settings, lambda *_: None)
        return engines[name]

    @pytest.fixture
    def kill(self) -> Kill:
        def break_the_step(engine: Engine) -> None:
            engine._steps._step = None  # type: ignore[attr-defined]

        return break_the_step
