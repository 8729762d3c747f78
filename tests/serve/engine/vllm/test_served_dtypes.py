"""What vLLM's workers say of their model, against config.json; then the real workers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from models.refs import QuantScheme
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.engine.vllm import served_dtypes
from serve.environment import harden_environment
from serve.errors import StartupError
from tests.contracts.engine import request, tokens
from tests.quantized_models import write_quantized
from tests.tiny_models import write_tiny_model

W8A8, PACKED = "CompressedTensorsW8A8Int8", "CompressedTensorsWNA16"
SETTINGS = EngineSettings(
    max_num_seqs=2,
    max_model_len=256,
    kv_cache_tokens=1024,
    vllm=VllmSettings(enforce_eager=True),
)


def description(*methods: str | None) -> str:
    """A description in vLLM's words, a layer for each method."""
    lines = [
        f"(layer{n}): RowParallelLinear({f'quant={method}, ' if method else ''}in_features=8)"
        for n, method in enumerate(methods)
    ]
    return "\n".join(["(lm_head): ParallelLMHead(num_embeddings=9)", *lines])


@pytest.mark.parametrize(
    ("scheme", "methods", "ignore", "expected"),
    [
        ("none", [None, None], [], None),
        ("int8-w8a8", [W8A8, W8A8], ["lm_head"], None),
        ("int4", [PACKED], [], None),
        ("int8", [PACKED, PACKED], [], None),
        ("int8", [PACKED, None], ["lm_head"], "multiplies layer1 with no quantisation"),
        ("int8", [PACKED, None], ["model.layers.1.mlp.up_proj"], None),
        ("int8", [None], ["model.layers.1.mlp.up_proj"], "no layer of CompressedTensorsWNA16"),
        ("int8-w8a8", [PACKED], [], "the checkpoint is int8-w8a8"),
        ("int8", [W8A8], [], "the checkpoint is int8"),
        ("none", [W8A8], [], "layer0 with CompressedTensorsW8A8Int8"),
    ],
)
def test_descriptions(
    scheme: str, methods: list[str | None], ignore: list[str], expected: str | None
) -> None:
    fault = served_dtypes.fault(description(*methods), QuantScheme(scheme), ignore)
    assert fault is None if expected is None else expected in str(fault)


def test_what_is_said_of_other_schemes() -> None:
    gptq: dict[str, Any] = {"quantization_config": {"quant_method": "gptq"}}
    assert served_dtypes.describe(gptq, None, "float16") == "gptq, float16"
    assert served_dtypes.describe({}, QuantScheme.NONE, "float16") == "float16"
    for device, word in (("cpu", "int4 (W4A8)"), ("cuda", "int4 (W4A16)")):
        words = served_dtypes.describe({}, QuantScheme.INT4, "bfloat16", device=device)
        assert words == f"{word}, bfloat16"


@pytest.mark.filterwarnings("ignore")  # of vLLM's own imports
def test_the_real_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed")
    harden_environment()
    full = write_tiny_model(tmp_path / "full", dtype="bfloat16")
    folder = write_quantized(full, tmp_path / "int8", QuantScheme.INT8)
    engine = build("vllm", folder, SETTINGS, lambda *_: None)
    assert engine.info.dtype == "int8 (W8A8), bfloat16"

    async def use() -> None:
        assert len(await tokens(engine, request(max_tokens=3))) == 3  # in another event loop
        await engine.close()

    asyncio.run(use())
    monkeypatch.setattr(served_dtypes, "scheme_in", lambda _: QuantScheme.INT8_W8A8)
    with pytest.raises(StartupError, match=r"with CompressedTensorsWNA16, and .* is int8-w8a8"):
        build("vllm", folder, SETTINGS, lambda *_: None)
