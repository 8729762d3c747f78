"""An answer is the same, to the last bit, whether or not its prompt was found in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from serve.engine.protocol import EngineRequest, PrefixCacheLoad, SamplingParams
from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from serve.engine.transformers import warm_up
from serve.engine.transformers.kernels.stored_matrix import FEW_ROWS
from serve.engine.transformers.kv_cache import BLOCK_SIZE, KVCache
from serve.engine.transformers.layers import attention, bfloat16_linear, fused_linear
from serve.engine.transformers.model_runner import ModelRunner
from serve.engine.transformers.sequence import Segment, SequenceState
from tests.contracts.engine import collect, prompt_of, request
from tests.serve.engine import checkpoints
from tests.tiny_models import VOCAB_SIZE, write_tiny_model

NUM_TOKENS = 300
NUM_BLOCKS = -(-NUM_TOKENS // BLOCK_SIZE)
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("qwen2", {}),
    "llama": ("llama", {"num_key_value_heads": 1}),
    "mistral": ("mistral", {}),
    "sliding": ("mistral", {"sliding_window": 70}),
}


def runner_of(folder: Path) -> ModelRunner:
    model = checkpoints.load(folder, dtype="bfloat16")
    fused_linear.fuse(model)
    bfloat16_linear.install(model)
    shapes = warm_up.layer_shapes(model)
    model.set_attn_implementation(attention.IMPLEMENTATION)
    cache = KVCache(shapes, num_blocks=NUM_BLOCKS, dtype=model.dtype, device=model.device)
    return ModelRunner(model, cache)


def computed(runner: ModelRunner, ends: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The KV cache ``[N, ...]`` of a prompt that is computed in parts, and its last logits."""
    prompt = [(3 * step + step * step) % VOCAB_SIZE for step in range(NUM_TOKENS)]
    params = SamplingParams(max_tokens=1, temperature=0)
    request = EngineRequest(request_id="r", prompt_token_ids=prompt, sampling=params)
    sequence = SequenceState(request=request, stop_token_ids=frozenset())
    sequence.block_ids = list(range(NUM_BLOCKS))
    logits = torch.empty(0)
    for start, end in pairwise((0, *ends)):
        logits = runner.logits([Segment(sequence, start, end - start)])
    cache = runner._cache
    pools = [pool.flatten(0, 1)[:NUM_TOKENS].flatten(1) for pool in cache.keys.values()]
    pools += [pool.flatten(0, 1)[:NUM_TOKENS].flatten(1) for pool in cache.values.values()]
    return torch.cat(pools, 1), logits


PARTS = [
    [32, 300],
    [288, 300],
    [288, 299, 300],
    [96, 128, 256, 300],
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 300],
]


@pytest.mark.parametrize("name", MODELS)
def test_a_row_comes_out_the_same_in_chunks_of_any_size(tmp_path: Path, name: str) -> None:
    architecture, config = MODELS[name]
    runner = runner_of(write_tiny_model(tmp_path, architecture, **config))
    if not runner.is_exact:
        pytest.skip("this processor has no products of bfloat16")
    whole = computed(runner, [NUM_TOKENS])
    for ends in PARTS:
        parts = computed(runner, ends)
        assert torch.equal(parts[0], whole[0]), ends
        assert torch.equal(parts[1], whole[1]), ends


WIDE: dict[str, Any] = {"hidden_size": 1024, "num_attention_heads": 32, "num_hidden_layers": 1}
"""Long sums, of which the heads' two loops round many otherwise."""


def begun(prompt: list[int], block: int, **sampling: Any) -> SequenceState:
    params = SamplingParams(max_tokens=2, temperature=0, **sampling)
    request = EngineRequest(request_id="r", prompt_token_ids=prompt, sampling=params)
    num_blocks = -(-len(prompt) // BLOCK_SIZE)
    return SequenceState(
        request=request,
        stop_token_ids=frozenset(),
        block_ids=list(range(block, block + num_blocks)),
    )


def test_first_tokens_do_not_hang_on_how_many_prompts_end_in_a_step(tmp_path: Path) -> None:
    """The head has loops of its own for a few rows."""
    runner = runner_of(write_tiny_model(tmp_path, **WIDE))
    if not runner.is_exact:
        pytest.skip("this processor has no products of bfloat16")
    prompts = [prompt_of(3 * index + 1, seed=index) for index in range(NUM_BLOCKS)]
    assert len(prompts) > FEW_ROWS

    def segment(index: int) -> Segment:
        sequence = begun(prompts[index], index, num_logprobs=VOCAB_SIZE)
        return Segment(sequence, 0, len(prompts[index]))

    alone = [runner.step([segment(index)])[0][1] for index in range(len(prompts))]
    together = runner.step([segment(index) for index in range(len(prompts))])
    is_same = [token for _, token in together] == alone
    assert is_same


def test_logprobs_of_a_prompt_do_not_hang_on_its_chunks(tmp_path: Path) -> None:
    runner = runner_of(write_tiny_model(tmp_path, **WIDE))
    if not runner.is_exact:
        pytest.skip("this processor has no products of bfloat16")
    told = []
    for ends in ([70], [64, 70], [69, 70], [*range(7, 70, 7), 70]):
        sequence = begun(prompt_of(70), 0, num_prompt_logprobs=VOCAB_SIZE)
        for start, end in pairwise((0, *ends)):
            sampled = runner.step([Segment(sequence, start, end - start)])
        told.append((sequence.prompt_logprobs, sampled[0][1]))
        assert len(sequence.prompt_logprobs or ()) == 70
    is_same = all(one == told[0] for one in told)
    assert is_same


def of(salt: str | None, prompt: list[int], **sampling: Any) -> EngineRequest:
    return replace(request(prompt, **sampling), cache_salt=salt)


@pytest.mark.parametrize("scheme", ["none", "int8", "int4"])
async def test_a_hit_answers_as_a_miss(folders: dict[str, Path], scheme: str) -> None:
    """Greedy tokens, logprobs and seeds of a prompt that is new, and that is known in parts."""
    settings = EngineSettings(max_num_seqs=4, max_num_batched_tokens=104)
    engine = build("transformers", folders[scheme], settings, lambda *_: None)
    prompt = [3 + (7 * step + step * step) % (VOCAB_SIZE - 3) for step in range(200)]
    wishes: list[dict[str, Any]] = [
        {},
        {"num_logprobs": 3},
        {"temperature": 1.0, "seed": 5},
        {"temperature": 0.8, "seed": 6, "num_logprobs": 0},
    ]
    # Each part of the prompt has been somebody's whole prompt, but under salts of its own.
    heads = (0, 33, 64, 150, 199)
    try:
        for wanted in wishes:
            answers, cached = [], []
            for head in heads:
                salt = f"{head} {wanted}"
                if head:
                    await collect(engine, of(salt, prompt[:head], max_tokens=2))
                asked = of(salt, prompt, max_tokens=12, **wanted)
                chunks = await collect(engine, asked)
                answers.append([(list(c.token_ids), c.logprobs) for c in chunks])
                cached.append({chunk.cached_tokens for chunk in chunks})
            joined = [
                (
                    [token for ids, _ in answer for token in ids],
                    [one for _, given in answer for one in given or ()],
                )
                for answer in answers
            ]
            assert all(one == joined[0] for one in joined), wanted
            assert cached == [{0}, {32}, {64}, {128}, {192}]
    finally:
        await engine.close()


async def test_tenants_do_not_share_on_the_engine(tiny_qwen2: Path) -> None:
    engine = build("transformers", tiny_qwen2, EngineSettings(max_num_seqs=2), lambda *_: None)
    prompt = list(range(3, 103))
    try:
        cached = []
        for salt in ("a", "b", None, "a"):
            chunks = await collect(engine, of(salt, prompt, max_tokens=2))
            cached.append(chunks[0].cached_tokens)
        assert cached == [0, 0, 0, 96]
        load = engine.load()
        assert load.kv_cache_usage == 0
        assert load.prefix_cache == PrefixCacheLoad(
            num_queries=400, num_hits=96, num_evictions=0, num_blocks=9
        )
    finally:
        await engine.close()
