"""What vLLM's workers say of their model, against config.json; then the real workers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from models.refs import OtherScheme, QuantScheme
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


@pytest.mark.parametrize(
    ("scheme", "methods", "expected"),
    [
        (OtherScheme.AWQ, ["AutoAWQMarlinLinearMethod", "AutoAWQLinearMethod"], None),
        (OtherScheme.GPTQ, ["AutoGPTQLinearMethod"], None),
        (OtherScheme.GPTQ, [None], "layer0 with no quantisation, and the checkpoint is gptq"),
        (OtherScheme.FP8_BLOCK, ["AutoGPTQLinearMethod"], "the checkpoint is fp8-block"),
        (OtherScheme.MODELOPT_FP8, ["ModelOptLinearMethod"], None),
        (OtherScheme.MXFP4, [None], "experts with nothing, and the checkpoint is mxfp4"),
    ],
)
def test_descriptions_of_other_tools_weights(
    scheme: OtherScheme, methods: list[str | None], expected: str | None
) -> None:
    fault = served_dtypes.fault(description(*methods), scheme)
    assert fault is None if expected is None else expected in str(fault)


def test_mxfp4_is_of_experts_alone() -> None:
    text = description(None) + "\n(experts): FusedMoE(quant={}, num=4)"
    assert served_dtypes.fault(text.format("GptOssMxfp4MoEMethod"), OtherScheme.MXFP4) is None
    found = served_dtypes.fault(text.format("Fp8MoEMethod"), OtherScheme.MXFP4)
    assert found == "vLLM computes experts with Fp8MoEMethod, and the checkpoint is mxfp4"


def test_layers_that_stay_are_found_by_any_tool_s_key() -> None:
    assert served_dtypes.ignored({"ignore": ["lm_head"]}) == ["lm_head"]
    table = {"modules_to_not_convert": ["a"], "exclude_modules": ["b"], "ignored_layers": None}
    assert served_dtypes.ignored(table) == ["a", "b"]


def test_what_is_said_of_other_schemes() -> None:
    gptq: dict[str, Any] = {"quantization_config": {"quant_method": "hqq"}}
    assert served_dtypes.describe(gptq, None, "float16") == "hqq, float16"
    assert served_dtypes.describe({}, OtherScheme.GPTQ, "float16") == "gptq (W4A8), float16"
    assert served_dtypes.describe({}, OtherScheme.MXFP4, "float16") == "mxfp4, float16"
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
