"""The whole engine: the contract, greedy tokens as ``generate`` has them, and what it reports."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from models.refs import QuantScheme
from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from serve.engine.transformers.engine import TransformersEngine
from serve.engine.transformers.kv_cache import BLOCK_SIZE
from serve.engine.transformers.loader.stored_scheme import RUNS
from serve.engine.transformers.scheduler import Scheduler
from serve.errors import EngineDeadError
from tests.contracts.engine import EngineContract, Kill, prompt_of, request, tokens
from tests.tiny_models import VOCAB_SIZE, write_tiny_model

VARIANTS = {
    "roomy": EngineSettings(max_num_seqs=8, max_model_len=512),
    # Eight sequences share the cache of one and a half: preemption all the time.
    "tight": EngineSettings(
        max_num_seqs=8, max_model_len=512, kv_cache_tokens=768, max_num_batched_tokens=16
    ),
}


SAID = {
    QuantScheme.INT8: "int8 (W8A8)",
    QuantScheme.INT8_WEIGHT_ONLY: "int8 (W8A8)",
    QuantScheme.INT8_W8A8: "int8 (W8A8)",
    QuantScheme.INT4: "int4 (W4A8), int8 (W8A8)",
    QuantScheme.NF4: "nf4 (W4A16)",
    QuantScheme.BNB_INT8: "int8 (W8A8)",
}


# The contract, chunked, preempted and short of memory, and over quantised weights


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    engines: dict[str, Engine] = {}
    yield engines
    for engine in engines.values():
        asyncio.run(engine.close())


def break_the_step(engine: Engine) -> None:
    """One step that fails, from which the scheduler cannot begin anew."""
    engine._steps._step = engine._steps._scheduler.reset = None  # type: ignore[attr-defined]


async def living(engines: dict[str, Engine], name: str, folder: Path, settings: Any) -> Engine:
    """The engine of that name; a new one for the first test, and after one that killed it."""
    try:
        await engines[name].check_health()
    except (KeyError, EngineDeadError):
        engines[name] = build("transformers", folder, settings, lambda *_: None)
    return engines[name]


class OwnContract(EngineContract):
    """The contract over models whose tokenizer is the tiny one."""

    @pytest.fixture(autouse=True)
    def tokenizer(self, tiny_qwen2: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(tiny_qwen2 / "tokenizer.json"))

    def text_of(self, engine: Engine, token_ids: list[int]) -> str:
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=False)
        return text


class TestTransformersContract(OwnContract):
    @pytest.fixture(params=VARIANTS)
    async def engine(
        self, request: pytest.FixtureRequest, tiny_qwen2: Path, engines: dict[str, Engine]
    ) -> Engine:
        name: str = request.param
        return await living(engines, name, tiny_qwen2, VARIANTS[name])

    @pytest.fixture
    def kill(self) -> Kill:
        return break_the_step


class TestQuantizedContract(OwnContract):
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
        return await living(engines, name, folders[name], settings)

    @pytest.fixture
    def kill(self) -> Kill:
        return break_the_step


# Greedy tokens are those of ``model.generate``: alone, and mixed with others in chunks

# Around the chunk and the block (32) and its multiples; several longer than one chunk.
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
    requests = [request(prompt, max_tokens=MAX_TOKENS) for prompt in prompts]
    try:
        assert [await tokens(engine, one) for one in requests] == expected
        assert await asyncio.gather(*(tokens(engine, one) for one in requests)) == expected
        cached = engine.load().prefix_cache
        assert cached is not None
        # All whole blocks of the second time, but for a prompt's last token.
        assert cached.num_hits == sum((size - 1) // BLOCK_SIZE * BLOCK_SIZE for size in lengths)
    finally:
        await engine.close()


async def test_what_others_left_in_the_cache_changes_nothing(tiny_qwen2: Path) -> None:
    settings = EngineSettings(max_num_seqs=4, enable_prefix_caching=False)
    engine = build("transformers", tiny_qwen2, settings, lambda *_: None)
    requests = [request(list(range(3, 3 + size)), max_tokens=70) for size in (1, 63, 64, 100)]
    try:
        clean = [await tokens(engine, one) for one in requests]
        cache = engine._steps._step.__self__._cache  # type: ignore[attr-defined]
        for pool in (*cache.keys.values(), *cache.values.values()):
            pool.fill_(torch.nan)
        assert [await tokens(engine, one) for one in requests] == clean
        assert await asyncio.gather(*(tokens(engine, one) for one in requests)) == clean
    finally:
        await engine.close()


async def test_preemption_changes_nothing(tiny_qwen2: Path) -> None:
    settings = EngineSettings(
        max_model_len=256, kv_cache_tokens=320, max_num_seqs=8, max_num_batched_tokens=24
    )
    engine = build("transformers", tiny_qwen2, settings, lambda *_: None)
    prompts = [[3 + 7 * index + step for step in range(30 + index)] for index in range(8)]
    requests = [request(prompt, max_tokens=90) for prompt in prompts]
    seeded = [request(prompt, max_tokens=90, temperature=1.0, seed=5) for prompt in prompts]
    scheduler: Scheduler = engine._steps._scheduler  # type: ignore[attr-defined]
    try:
        alone = [await tokens(engine, one) for one in requests + seeded]
        assert scheduler.num_preemptions == 0
        together = await asyncio.gather(*(tokens(engine, one) for one in requests + seeded))
        assert scheduler.num_preemptions > 0
        assert together == alone
    finally:
        await engine.close()


@pytest.mark.parametrize("scheme", ["none", "int8", "int4"])
@pytest.mark.parametrize("num_streams", [8, 20])
async def test_a_seed_gives_the_same_tokens_in_any_company(
    folders: dict[str, Path], scheme: str, num_streams: int, is_proving: bool
) -> None:
    """In bfloat16, whose roundings tell: alone, all at once, one after another, and preempted."""
    if not is_proving and (num_streams > 8 or scheme == "int4"):
        pytest.skip("ten seconds; run by `make prove`")
    settings = EngineSettings(
        max_model_len=128, kv_cache_tokens=320, max_num_seqs=24, max_num_batched_tokens=48
    )
    engine = build("transformers", folders[scheme], settings, lambda *_: None)
    assert isinstance(engine, TransformersEngine)
    if not engine.runner.is_repeatable:
        await engine.close()
        pytest.skip("no compiled loops on this machine, and so no promise")
    scheduler: Scheduler = engine._steps._scheduler
    requests = [
        request(prompt_of(50 + 2 * n, n), max_tokens=20, temperature=0.9, seed=n - 3)
        for n in range(num_streams)
    ]
    noise = [request(prompt_of(40, -n), max_tokens=9, temperature=0.9) for n in range(1, 5)]

    async def later(number: int) -> list[int]:
        while engine.load().num_steps < begun + 3 * number:
            await asyncio.sleep(0)
        return await tokens(engine, requests[number])

    try:
        alone = [await tokens(engine, one) for one in requests]
        assert scheduler.num_preemptions == 0
        together = await asyncio.gather(*(tokens(engine, one) for one in requests + noise))
        assert together[:num_streams] == alone
        begun = engine.load().num_steps
        assert await asyncio.gather(*(later(n) for n in range(num_streams))) == alone
        assert scheduler.num_preemptions > 0
        assert scheduler.blocks.num_available == scheduler.blocks.num_blocks
    finally:
        await engine.close()


# What it says of itself


@pytest.mark.parametrize("scheme", RUNS)
async def test_the_engine_says_what_it_serves(
    folders: dict[str, Path], scheme: QuantScheme
) -> None:
    engine = build("transformers", folders[scheme], EngineSettings(), lambda *_: None)
    assert engine.info.dtype == f"{SAID[scheme]}, bfloat16"
    long = prompt_of(200)
    assert len(await tokens(engine, request(long, max_tokens=5))) == 5
    await engine.close()


async def test_half_precision_is_served(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "half", dtype="bfloat16")
    engine = build("transformers", folder, EngineSettings(max_num_seqs=4), lambda *_: None)
    assert engine.info.dtype == "bfloat16"
    assert engine.info.weight_bytes >= 2 * engine.info.num_parameters
    assert len(await tokens(engine, request(max_tokens=5))) == 5
    await engine.close()


def test_progress_names_its_phases(tiny_qwen2: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    build("transformers", tiny_qwen2, EngineSettings(), lambda *step: seen.append(step))
    assert list(dict.fromkeys(phase for phase, _, _ in seen)) == [
        "import",
        "load_weights",
        "allocate_kv",
        "warm_up",
    ]
    for phase in {phase for phase, _, _ in seen}:
        done = [count for name, count, _ in seen if name == phase]
        assert done == sorted(done)
        assert done[-1] == next(total for name, _, total in reversed(seen) if name == phase)
