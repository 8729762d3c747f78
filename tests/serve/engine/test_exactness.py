"""Greedy tokens are those of ``model.generate``: alone, and mixed with others in chunks."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from serve.engine.transformers.scheduler import Scheduler
from tests.contracts.engine import request, tokens
from tests.tiny_models import VOCAB_SIZE, write_tiny_model

# Around the chunk (32), the block (64) and its multiples; several longer than one chunk.
LENGTHS = (1, 2, 5, 9, 17, 30, 31, 32, 33, 40, 63, 64, 65, 90, 127, 128, 129, 200, 260, 300)
FEW_LENGTHS = (1, 31, 65, 150)
MAX_TOKENS = 10

MODELS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("qwen2", LENGTHS, {}),
    ("llama", LENGTHS, {}),
    ("mistral", LENGTHS, {}),
    ("mistral", LENGTHS, {"sliding_window": 20}),
    ("qwen3", FEW_LENGTHS, {}),
    ("phi3", FEW_LENGTHS, {}),
    ("gemma2", FEW_LENGTHS, {}),
    ("gemma3_text", FEW_LENGTHS, {}),
    ("llama", FEW_LENGTHS, {"num_key_value_heads": 4}),
    ("llama", FEW_LENGTHS, {"num_key_value_heads": 1}),
]


def expected_tokens(folder: Path, prompts: list[list[int]]) -> list[list[int]]:
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    outputs = []
    for prompt in prompts:
        output = model.generate(
            torch.tensor([prompt]),
            max_new_tokens=MAX_TOKENS,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        outputs.append(output[0, len(prompt) :].tolist())
    return outputs


@pytest.mark.parametrize(
    ("architecture", "lengths", "config"),
    MODELS,
    ids=[f"{name}-{'-'.join(map(str, config))}" for name, _, config in MODELS],
)
async def test_greedy_is_generate(
    tmp_path: Path, architecture: str, lengths: tuple[int, ...], config: dict[str, Any]
) -> None:
    folder = write_tiny_model(tmp_path / "model", architecture, **config)
    source = random.Random(1)
    prompts = [[source.randrange(3, VOCAB_SIZE) for _ in range(size - 1)] + [5] for size in lengths]
    expected = expected_tokens(folder, prompts)
    # All prompts end alike, so different answers prove that these weights heed the context.
    assert len({output[0] for output in expected}) > len(prompts) // 2
    settings = EngineSettings(max_num_batched_tokens=32, max_num_seqs=16)
    engine = build("transformers", folder, settings, lambda *_: None)
    asked = [request(prompt, max_tokens=MAX_TOKENS) for prompt in prompts]
    try:
        assert [await tokens(engine, one) for one in asked] == expected
        assert await asyncio.gather(*(tokens(engine, one) for one in asked)) == expected
    finally:
        await engine.close()


async def test_what_others_left_in_the_cache_changes_nothing(tiny_qwen2: Path) -> None:
    engine = build("transformers", tiny_qwen2, EngineSettings(max_num_seqs=4), lambda *_: None)
    asked = [request(list(range(3, 3 + size)), max_tokens=70) for size in (1, 63, 64, 100)]
    try:
        clean = [await tokens(engine, one) for one in asked]
        cache = engine._steps._step.__self__._cache  # type: ignore[attr-defined]
        for pool in (*cache.keys.values(), *cache.values.values()):
            pool.fill_(torch.nan)
        assert [await tokens(engine, one) for one in asked] == clean
        assert await asyncio.gather(*(tokens(engine, one) for one in asked)) == clean
    finally:
        await engine.close()


async def test_preemption_changes_nothing(tiny_qwen2: Path) -> None:
    settings = EngineSettings(
        max_model_len=256, kv_cache_tokens=320, max_num_seqs=8, max_num_batched_tokens=24
    )
    engine = build("transformers", tiny_qwen2, settings, lambda *_: None)
    prompts = [[3 + 7 * index + step for step in range(30 + index)] for index in range(8)]
    asked = [request(prompt, max_tokens=90) for prompt in prompts]
    seeded = [request(prompt, max_tokens=90, temperature=1.0, seed=5) for prompt in prompts]
    scheduler: Scheduler = engine._steps._scheduler  # type: ignore[attr-defined]
    try:
        alone = [await tokens(engine, one) for one in asked + seeded]
        assert scheduler.num_preemptions == 0
        together = await asyncio.gather(*(tokens(engine, one) for one in asked + seeded))
        assert scheduler.num_preemptions > 0
        assert together == alone
    finally:
        await engine.close()
