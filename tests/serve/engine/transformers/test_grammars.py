"""Grammars on the demo model: valid by construction, whatever the schema and the temperature; and
the same with tokens forced and without.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tokenizers import Tokenizer

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import Engine, EngineRequest, SamplingParams, TokenChunk
from serve.engine.settings import EngineSettings
from serve.engine.transformers.engine import TransformersEngine
from serve.errors import InvalidRequest
from tests.contracts.engine import collect
from tests.house.tree import ROOT
from tests.serve.engine.grammars.random_schemas import random_schema

DEMO = ROOT / "models/demo/weights"
SETTINGS = EngineSettings(max_num_seqs=8, max_model_len=512)
TIGHT = replace(SETTINGS, kv_cache_tokens=512, max_num_batched_tokens=16)
"""Preemption all the time, and forced tokens that do not fit a step."""


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(DEMO / "tokenizer.json"))


def load(settings: EngineSettings) -> TransformersEngine:
    return TransformersEngine.from_folder(Path(DEMO), settings, lambda *_: None)


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    made = {
        "forcing": load(SETTINGS),
        "sampling": load(replace(SETTINGS, forces_tokens=False)),
        "tight forcing": load(TIGHT),
        "tight sampling": load(replace(TIGHT, forces_tokens=False)),
    }
    yield dict(made)
    for engine in made.values():
        asyncio.run(engine.close())


def request(tokenizer: Tokenizer, grammar: Grammar, name: str, **sampling: Any) -> EngineRequest:
    text = f"<|im_start|>user\nAnswer in JSON: {name}<|im_end|>\n<|im_start|>assistant\n"
    params = {"max_tokens": 200, "temperature": 0.0, "grammar": grammar} | sampling
    return EngineRequest(
        request_id=name,
        prompt_token_ids=tokenizer.encode(text).ids,
        sampling=SamplingParams(**params),
    )


async def answer(engine: Engine, one: EngineRequest) -> list[TokenChunk] | None:
    """None where it was refused."""
    try:
        return await collect(engine, one)
    except InvalidRequest:
        return None


def ids_of(chunks: list[TokenChunk]) -> list[int]:
    return [token for chunk in chunks for token in chunk.token_ids]


def check(tokenizer: Tokenizer, schema: Any, chunks: list[TokenChunk]) -> bool:
    """Whether it ended by itself; then it is valid."""
    if chunks[-1].finish_reason != "stop":
        assert chunks[-1].finish_reason == "length"
        return False
    text = tokenizer.decode(ids_of(chunks)[:-1], skip_special_tokens=False)
    jsonschema.validate(json.loads(text), schema)
    return True


async def test_answers_to_random_schemas_are_valid(
    engines: dict[str, Engine], tokenizer: Tokenizer, is_proving: bool
) -> None:
    num_schemas, num_valid, num_refused = 10_000 if is_proving else 60, 0, 0
    for first in range(0, num_schemas, 8):
        schemas = [random_schema(random.Random(seed)) for seed in range(first, first + 8)]
        grammars = [Grammar(kind="json_schema", text=json.dumps(schema)) for schema in schemas]
        requests = [
            request(tokenizer, grammar, f"{first + index}", temperature=1.5 * (index % 2), seed=1)
            for index, grammar in enumerate(grammars)
        ]
        answers = await asyncio.gather(*(answer(engines["forcing"], one) for one in requests))
        for schema, chunks in zip(schemas, answers, strict=True):
            if chunks is None:
                num_refused += 1
            else:
                num_valid += check(tokenizer, schema, chunks)
    assert num_valid > num_schemas / 3
    assert num_refused < num_schemas / 3


@pytest.mark.parametrize("temperature", [0.0, 1.2])
async def test_forced_tokens_change_no_answer(
    engines: dict[str, Engine], tokenizer: Tokenizer, is_proving: bool, temperature: float
) -> None:
    num_answers = 0
    for seed in range(0, 200 if is_proving else 24, 4):
        requests = [
            request(
                tokenizer,
                Grammar(kind="json_schema", text=json.dumps(random_schema(random.Random(one)))),
                f"{one}",
                temperature=temperature,
                seed=one,
                max_tokens=120,
            )
            for one in range(seed, seed + 4)
        ]
        told = {
            name: await asyncio.gather(*(answer(engine, one) for one in requests))
            for name, engine in engines.items()
        }
        for kind in ("", "tight "):  # each with its own size of chunks, and so its own rounding
            pairs = zip(told[f"{kind}forcing"], told[f"{kind}sampling"], strict=True)
            num_answers += sum(same(*pair) for pair in pairs)
    assert num_answers > 20


def same(forced: list[TokenChunk] | None, sampled: list[TokenChunk] | None) -> bool:
    """Whether both were answered; then with the same tokens."""
    if forced is None or sampled is None:
        assert forced is sampled is None
        return False
    assert ids_of(forced) == ids_of(sampled)
    assert forced[-1].finish_reason == sampled[-1].finish_reason
    return True


async def test_forced_tokens_need_no_step(engines: dict[str, Engine], tokenizer: Tokenizer) -> None:
    grammar = Grammar(kind="regex", text="one two three four five six seven [ab]")
    steps = {}
    for name in ("forcing", "sampling"):
        before = engines[name].load().num_steps
        chunks = await collect(engines[name], request(tokenizer, grammar, "x"))
        steps[name] = engines[name].load().num_steps - before
        text = tokenizer.decode(ids_of(chunks)[:-1])
        assert re.fullmatch("one two three four five six seven [ab]", text)
    assert steps["forcing"] < steps["sampling"] / 2


@pytest.mark.parametrize("max_tokens", [1, 3, 5])
async def test_forced_tokens_are_counted(
    engines: dict[str, Engine], tokenizer: Tokenizer, max_tokens: int
) -> None:
    grammar = Grammar(kind="regex", text="one two three four five six seven")
    one = request(tokenizer, grammar, "x", max_tokens=max_tokens)
    chunks = await collect(engines["forcing"], one)
    assert len(ids_of(chunks)) == max_tokens
    assert chunks[-1].finish_reason == "length"


async def test_logprobs_are_of_the_model_where_tokens_are_forced(
    engines: dict[str, Engine], tokenizer: Tokenizer
) -> None:
    grammar = Grammar(kind="regex", text="one two three (four|five)")
    plain = await collect(engines["forcing"], request(tokenizer, grammar, "x"))
    told = await collect(engines["forcing"], request(tokenizer, grammar, "x", num_logprobs=2))
    assert ids_of(told) == ids_of(plain)
    for chunk in told:
        assert chunk.logprobs is not None
        assert [one.token_id for one in chunk.logprobs] == list(chunk.token_ids)
    assert any(one.logprob < -0.01 for chunk in told for one in chunk.logprobs or ())


async def test_rules_for_tokens_hold_within_a_grammar(
    engines: dict[str, Engine], tokenizer: Tokenizer
) -> None:
    digits = {str(digit): tokenizer.token_to_id(str(digit)) for digit in range(10)}
    grammar = Grammar(kind="regex", text="[0-9]{1,30}")
    allowed = frozenset({digits["3"], digits["7"]})
    one = request(tokenizer, grammar, "x", allowed_token_ids=allowed, min_tokens=12)
    token_ids = ids_of(await collect(engines["forcing"], one))
    text = tokenizer.decode([token for token in token_ids if token in allowed])
    assert re.fullmatch("[37]{12,30}", text.replace(" ", ""))
    ended = request(tokenizer, Grammar(kind="regex", text="77"), "x", min_tokens=50)
    assert len(ids_of(await collect(engines["forcing"], ended))) <= 3


async def test_rules_that_leave_nothing_end_the_stream_with_a_reason(
    engines: dict[str, Engine], tokenizer: Tokenizer
) -> None:
    letter = tokenizer.token_to_id("a")
    one = request(
        tokenizer, Grammar(kind="regex", text="[0-9]+"), "x", allowed_token_ids=frozenset({letter})
    )
    with pytest.raises(InvalidRequest, match="leave none"):
        await collect(engines["forcing"], one)
    assert await collect(engines["forcing"], request(tokenizer, one.sampling.grammar, "y"))  # type: ignore[arg-type]
