"""vLLM computes with what is stored: it says what the same weights, dequantised by us, say.

The reference is the transformers engine on a folder of the dequantised numbers in bfloat16. After
each difference vLLM goes on from the reference's tokens, as in tests/serve/engine.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.refs import QuantScheme
from models.store import DEMO_WEIGHTS
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import QuantOptions
from quantize.protocol import Method
from quantize.write.result import config_of
from quantize.write.source import tensors_of
from serve.engine import placement
from serve.engine.protocol import Engine, EngineRequest, SamplingParams
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.environment import harden_environment
from tests.demo_questions import prompts
from tests.quantize.models import dequantised
from tests.quantize.write.test_run import run

pytest.importorskip("vllm", reason="vLLM is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of vLLM's own imports

NUM_PROMPTS, NUM_TOKENS = 12, 32
numbers = itertools.count()


async def greedy(engine: Engine, prompt: list[int], num_tokens: int) -> list[int]:
    request = EngineRequest(
        request_id=f"quantised-{next(numbers)}",
        prompt_token_ids=prompt,
        sampling=SamplingParams(max_tokens=num_tokens, temperature=0, ignore_eos=True),
    )
    return [token async for chunk in engine.stream(request) for token in chunk.token_ids]


async def num_differences(engine: Engine, prompt: list[int], expected: list[int]) -> int:
    differences = position = 0
    while position < len(expected):
        said = await greedy(engine, prompt + expected[:position], len(expected) - position)
        pairs = zip(said, expected[position:], strict=True)
        position += len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
        if position < len(expected):
            differences, position = differences + 1, position + 1
    return differences


def reference(quantised: Path, folder: Path) -> Path:
    """The demo model with the numbers that the quantised folder stands for."""
    shutil.copytree(DEMO_WEIGHTS, folder, ignore=shutil.ignore_patterns("manifest.json"))
    full = load_file(folder / "model.safetensors")
    made = {name: tensor.bfloat16() for name, tensor in dequantised(quantised).items()}
    save_file(full | made, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    is_tied = "lm_head.weight" not in full | made
    text = json.dumps(config | {"tie_word_embeddings": is_tied})
    (folder / "config.json").write_text(text)
    return folder


@pytest.mark.parametrize(
    "scheme", [QuantScheme.INT8, QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.INT4]
)
async def test_vllm_says_what_the_stored_numbers_say(tmp_path, scheme, is_proving):
    if scheme is QuantScheme.INT8_WEIGHT_ONLY and not is_proving:
        pytest.skip("as int8, with a scale for each row: make prove has the time")
    if refusal := placement.refused(scheme, "vllm", "cpu"):
        pytest.skip(str(refusal))
    harden_environment()
    options = QuantOptions(scheme=scheme, method=Method.RTN)
    made = await asyncio.to_thread(run, DEMO_WEIGHTS, tmp_path / "q", options=options)
    plain = reference(made.path, tmp_path / "dequantised")
    settings = EngineSettings(dtype="bfloat16", max_num_seqs=NUM_PROMPTS, max_model_len=1024)
    eager = replace(settings, vllm=VllmSettings(enforce_eager=True))
    asked = await prompts(NUM_PROMPTS)
    ours = await asyncio.to_thread(build, "transformers", plain, settings, lambda *_: None)
    answers = await asyncio.gather(*(greedy(ours, prompt, NUM_TOKENS) for prompt in asked))
    await ours.close()
    theirs = await asyncio.to_thread(build, "vllm", made.path, eager, lambda *_: None)
    try:
        counts = await asyncio.gather(
            *(
                num_differences(theirs, prompt, answer)
                for prompt, answer in zip(asked, answers, strict=True)
            )
        )
    finally:
        await theirs.close()
    agreement = 1 - sum(counts) / (NUM_PROMPTS * NUM_TOKENS)
    print(f"{scheme}: {agreement:.2%} of the positions")
    assert agreement >= 0.95


def test_vllm_finds_each_layers_form_by_its_targets():
    """Joined layers, a head, and an embedding that Llama's code gives no name."""
    from vllm.model_executor.layers.quantization.compressed_tensors.utils import (
        find_matched_target,
    )

    options = QuantOptions(
        scheme=QuantScheme.INT4, sensitive=r"[qkv]_proj|layers\.1\.mlp\.down_proj"
    )
    made, _ = plan(tensors_of(DEMO_WEIGHTS), config_of(DEMO_WEIGHTS), options)
    groups = made.config["quantization_config"]["config_groups"].values()
    targets = {target: group["weights"] for group in groups for target in group["targets"]}
    joined = {
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }

    def form(name: str, kind: str) -> tuple[int, int, bool]:
        module = type(kind, (torch.nn.Module,), {})()
        found = targets[find_matched_target(name, module, list(targets), joined)]
        return found["num_bits"], found["group_size"], found["symmetric"]

    layer = "model.layers.1"
    assert form(f"{layer}.self_attn.qkv_proj", "QKVParallelLinear") == (8, 32, True)
    assert form(f"{layer}.self_attn.o_proj", "RowParallelLinear") == (4, 32, False)
    assert form(f"{layer}.mlp.gate_up_proj", "MergedColumnParallelLinear") == (4, 32, False)
    assert form(f"{layer}.mlp.down_proj", "RowParallelLinear") == (8, 32, True)
    assert form("model.layers.11.mlp.down_proj", "RowParallelLinear") == (4, 32, False)
    assert form("lm_head", "ParallelLMHead") == (8, 128, True)
    for name in ("model.embed_tokens", ""):
        assert form(name, "VocabParallelEmbedding") == (8, 128, True)
