"""vLLM and the transformers engine say the same on the demo model: two programs, one arithmetic.

In float32 all greedy tokens are equal. In bfloat16 two likely tokens can change places within the
rounding, and from there on two answers have nothing to do with each other; so after each
difference vLLM goes on from the other engine's tokens, and the positions that differ are counted.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from models.store import DEMO_WEIGHTS
from serve.engine.protocol import Engine, EngineRequest, SamplingParams
from serve.engine.registry import build
from serve.engine.settings import Dtype, EngineSettings, VllmSettings
from serve.environment import harden_environment
from tests.demo_questions import prompts

pytest.importorskip("vllm", reason="vLLM is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of vLLM's own imports

NUM_PROMPTS, NUM_TOKENS = 50, 64
numbers = itertools.count()


@pytest.fixture(params=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> Dtype:
    return request.param


@pytest_asyncio.fixture
async def engines(dtype: Dtype) -> AsyncIterator[tuple[Engine, Engine]]:
    harden_environment()
    settings = EngineSettings(dtype=dtype, max_num_seqs=NUM_PROMPTS, max_model_len=1024)
    eager = replace(settings, vllm=VllmSettings(enforce_eager=True))
    ours = await asyncio.to_thread(build, "transformers", DEMO_WEIGHTS, settings, lambda *_: None)
    theirs = await asyncio.to_thread(build, "vllm", DEMO_WEIGHTS, eager, lambda *_: None)
    yield ours, theirs
    await ours.close()
    await theirs.close()


async def greedy(engine: Engine, prompt: list[int], num_tokens: int) -> list[int]:
    request = EngineRequest(
        request_id=f"agreement-{next(numbers)}",
        prompt_token_ids=prompt,
        sampling=SamplingParams(max_tokens=num_tokens, temperature=0, ignore_eos=True),
    )
    token_ids: list[int] = []
    async for chunk in engine.stream(request):
        token_ids += chunk.token_ids
    return token_ids


async def num_differences(engine: Engine, prompt: list[int], expected: list[int]) -> int:
    """Positions at which the engine, after the expected tokens before it, says another one."""
    differences = position = 0
    while position < len(expected):
        answer = await greedy(engine, prompt + expected[:position], len(expected) - position)
        same = itertools.takewhile(
            lambda pair: pair[0] == pair[1], zip(answer, expected[position:], strict=True)
        )
        position += len(list(same))
        if position < len(expected):
            differences, position = differences + 1, position + 1
    return differences


async def test_greedy_tokens_agree(engines: tuple[Engine, Engine], dtype: Dtype) -> None:
    ours, theirs = engines
    questions = await prompts(NUM_PROMPTS)
    answers = await asyncio.gather(*(greedy(ours, prompt, NUM_TOKENS) for prompt in questions))
    assert [len(answer) for answer in answers] == [NUM_TOKENS] * NUM_PROMPTS
    counts = await asyncio.gather(
        *(
            num_differences(theirs, prompt, answer)
            for prompt, answer in zip(questions, answers, strict=True)
        )
    )
    agreement = 1 - sum(counts) / (NUM_PROMPTS * NUM_TOKENS)
    print(f"{dtype}: {agreement:.2%} of the positions, {counts.count(0)} of {NUM_PROMPTS} answers")
    assert agreement == 1 if dtype == "float32" else agreement >= 0.95
