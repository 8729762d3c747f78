"""Logprobs of a prompt: those of the model's own forward, however it is chunked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from serve.engine.settings import EngineSettings
from serve.engine.transformers import prompt_logprobs
from serve.engine.transformers.engine import TransformersEngine
from tests.contracts.engine_requests import collect, prompt_of, request


@pytest.mark.parametrize("step_tokens", [16, 512])
@pytest.mark.parametrize("size", [1, 2, 37, 150])
@pytest.mark.parametrize("seed", [None, 4])
async def test_they_are_those_of_a_plain_forward(
    tiny_qwen2: Path, step_tokens: int, size: int, seed: int | None
) -> None:
    settings = EngineSettings(
        max_num_seqs=4, max_model_len=256, max_num_batched_tokens=step_tokens, dtype="float32"
    )
    engine = TransformersEngine.from_folder(tiny_qwen2, settings, lambda *_: None)
    prompt = prompt_of(size, seed=size)
    try:
        chunks = await collect(engine, request(prompt, num_prompt_logprobs=3, seed=seed))
    finally:
        await engine.close()
    model = AutoModelForCausalLM.from_pretrained(tiny_qwen2, dtype=torch.float32)
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([prompt])).logits[0].log_softmax(-1)  # [T, V]
    told = chunks[0].prompt_logprobs
    assert told is not None
    assert len(told) == size
    for row, one in zip(expected, told[1:], strict=False):
        assert one is not None
        assert one.logprob == pytest.approx(float(row[one.token_id]), abs=1e-3)
        assert [value for _, value in one.top] == pytest.approx(row.topk(3)[0].tolist(), abs=1e-3)
        assert one.rank is not None
        near = abs(row - row[one.token_id]) < 1e-4
        assert abs(one.rank - 1 - int((row > row[one.token_id]).sum())) <= int(near.sum())


def test_rows_are_few_where_the_vocabulary_is_large() -> None:
    assert prompt_logprobs.most_rows(151_936) * 151_936 * 4 <= 80e6
    assert prompt_logprobs.most_rows(10**9) == 1
