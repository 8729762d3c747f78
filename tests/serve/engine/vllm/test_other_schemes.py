"""Other tools' weights: refused before vLLM where it would, and computed with as stored."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from models.refs import OtherScheme
from models.store import DEMO_WEIGHTS, load_folder
from serve.engine import model_files
from serve.engine.protocol import Engine, EngineRequest, SamplingParams
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.engine.vllm import other_schemes, stored_model
from serve.environment import harden_environment
from serve.errors import StartupError
from tests import other_checkpoints
from tests.demo_questions import prompts

S = OtherScheme
AWQ = {"bits": 4, "group_size": 128, "zero_point": True}
GPTQ = {"bits": 4, "group_size": 128, "sym": True, "desc_act": False}
numbers = itertools.count()


@pytest.mark.parametrize(
    ("scheme", "table", "device", "expected"),
    [
        (S.AWQ, AWQ, "cpu", None),
        (S.AWQ, {"w_bit": 4, "zero_point": True}, "cuda", None),
        (S.AWQ, AWQ | {"bits": 8}, "cuda", "have 8 bits, and vLLM reads 4"),
        (S.AWQ, AWQ | {"zero_point": False}, "cpu", "no zero points"),
        (S.AWQ, AWQ | {"zero_point": False}, "cuda", None),
        (S.GPTQ, GPTQ, "cpu", None),
        (S.GPTQ, GPTQ | {"bits": 8}, "cuda", None),
        (S.GPTQ, GPTQ | {"bits": 8}, "cpu", "have 8 bits, and vLLM reads 4 on a CPU"),
        (S.GPTQ, GPTQ | {"bits": 3}, "cuda", "vLLM reads 4 or 8 on a CUDA"),
        (S.GPTQ, GPTQ | {"sym": False}, "cuda", "zero points"),
        (S.GPTQ, GPTQ | {"group_size": 16}, "cuda", "groups of 16"),
        (S.GPTQ, GPTQ | {"desc_act": True}, "cuda", "another order"),
        (S.GPTQ, GPTQ | {"desc_act": True, "group_size": -1}, "cuda", None),
        (S.FP8_BLOCK, {}, "cuda", None),
        (None, {}, "cuda", None),
    ],
)
def test_details_that_vllm_refuses(
    scheme: OtherScheme | None, table: dict[str, Any], device: str, expected: str | None
) -> None:
    fault = other_schemes.fault(scheme, table, device)
    assert fault is None if expected is None else expected in str(fault)


def test_they_are_refused_before_vllm_starts(tmp_path: Path) -> None:
    folder = other_checkpoints.write(DEMO_WEIGHTS, tmp_path / "gptq", "gptq", desc_act=True)
    with pytest.raises(StartupError, match=r"gptq: its columns .* --quant int4 or int8"):
        stored_model.refuse_misfit(model_files.read(folder), "cpu")


def test_the_deprecated_method_is_asked_for() -> None:
    assert other_schemes.arguments(S.FBGEMM_FP8) == {"allow_deprecated_quantization": True}
    assert other_schemes.arguments(S.AWQ) == {}


async def answers(engine: Engine) -> list[list[int]]:
    async def greedy(prompt: list[int]) -> list[int]:
        request = EngineRequest(
            request_id=f"other-{next(numbers)}",
            prompt_token_ids=prompt,
            sampling=SamplingParams(max_tokens=12, temperature=0, ignore_eos=True),
        )
        return [token async for chunk in engine.stream(request) for token in chunk.token_ids]

    try:
        return [await greedy(prompt) for prompt in await prompts(4)]
    finally:
        await engine.close()


@pytest.mark.filterwarnings("ignore")  # of vLLM's own imports
def test_a_real_vllm_computes_with_the_stored_numbers(tmp_path: Path, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("each starts vLLM, half a minute; run by `make prove`")
    pytest.importorskip("vllm", reason="vLLM is not installed")
    harden_environment()
    for method in ("awq", "gptq"):
        agree(tmp_path / method, method)


def agree(tmp_path: Path, method: str) -> None:
    """Hold vLLM over the checkpoint to our engine over the same numbers in full."""
    tmp_path.mkdir()
    folder = other_checkpoints.write(DEMO_WEIGHTS, tmp_path / method, method)
    assert load_folder(folder, name="m").scheme == method
    full = other_checkpoints.write_full(DEMO_WEIGHTS, tmp_path / "full", method)
    settings = EngineSettings(
        max_num_seqs=2,
        max_model_len=512,
        kv_cache_tokens=2048,
        vllm=VllmSettings(enforce_eager=True),
    )
    theirs = build("vllm", folder, settings, lambda *_: None)
    assert theirs.info.dtype == f"{method} (W4A8), bfloat16"
    found = asyncio.run(answers(theirs))
    plain = EngineSettings(max_num_seqs=2, max_model_len=512, kv_cache_tokens=2048)
    expected = asyncio.run(answers(build("transformers", full, plain, lambda *_: None)))
    pairs = [
        pair
        for one, other in zip(found, expected, strict=True)
        for pair in zip(one, other, strict=True)
    ]
    assert sum(one == other for one, other in pairs) >= 0.9 * len(pairs)
