"""Guesses on the demo model: the same answers in fewer steps, whatever the request asks for."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import EngineRequest, SamplingParams, TokenLogprob
from serve.engine.settings import EngineSettings, TransformersSettings
from serve.engine.transformers import prompt_lookup
from serve.engine.transformers.engine import TransformersEngine
from serve.engine.transformers.lookup_control import LookupControl
from tests.contracts.engine import collect
from tests.house.tree import ROOT

DEMO = ROOT / "models/demo/weights"
ROOMY = EngineSettings(max_num_seqs=8, max_model_len=512)
TIGHT = replace(ROOMY, kv_cache_tokens=512, max_num_batched_tokens=16)
"""Preemption all the time, and guesses that do not fit a step."""
Answer = tuple[list[int], list[TokenLogprob]]

TEXT = "def add(first, second):\n    return first + second\n\n\n" * 3
ASKED: dict[str, dict[str, Any]] = {
    "greedy": {},
    "logprobs": {"num_logprobs": 3},
    "seed": {"temperature": 0.8, "seed": 5},
    "seed, cut": {"temperature": 1.0, "seed": 6, "top_p": 0.9, "num_logprobs": 0},
    "penalties": {"frequency_penalty": 0.2, "repetition_penalty": 1.05},
    "rules": {"temperature": 0.4, "seed": 7, "min_tokens": 30, "bad_words": ((5, 6), (9,))},
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(DEMO / "tokenizer.json"))


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, TransformersEngine]]:
    made = {
        name: TransformersEngine.from_folder(Path(DEMO), settings, lambda *_: None)
        for name, settings in (("roomy", ROOMY), ("tight", TIGHT))
    }
    yield made
    for engine in made.values():
        asyncio.run(engine.close())


def request(tokenizer: Tokenizer, text: str, name: str, **sampling: Any) -> EngineRequest:
    params = {"max_tokens": 60, "temperature": 0.0} | sampling
    text = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    return EngineRequest(
        request_id=name,
        prompt_token_ids=tokenizer.encode(text).ids,
        sampling=SamplingParams(**params),
    )


async def answers(
    engine: TransformersEngine, requests: list[EngineRequest], *, most_guesses: int
) -> list[Answer]:
    engine.guess_tokens(most=most_guesses)

    async def one(request: EngineRequest) -> Answer:
        chunks = await collect(engine, request)
        return (
            [token for chunk in chunks for token in chunk.token_ids],
            [logprob for chunk in chunks for logprob in chunk.logprobs or ()],
        )

    told = list(await asyncio.gather(*map(one, requests)))
    while not engine._steps._is_idle:  # the last step is counted after its tokens are sent
        await asyncio.sleep(0.001)
    return told


class Eager(LookupControl):
    """Guesses on, however wrong."""

    def most(self, num_running: int) -> int:
        return 1 + super().most(num_running)

    @property
    def least_matched(self) -> int:
        return 2


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_lookup, "LookupControl", Eager)


def needs_guesses(engine: TransformersEngine) -> None:
    if not engine.runner.takes_guesses:
        pytest.skip("no compiled loops on this machine, and so no guesses")


@pytest.mark.parametrize("name", ["roomy", "tight"])
async def test_answers_and_logprobs_are_those_without_guesses(
    engines: dict[str, TransformersEngine], tokenizer: Tokenizer, name: str
) -> None:
    engine = engines[name]
    needs_guesses(engine)
    # Past its end the model repeats itself.
    requests = [
        request(tokenizer, TEXT, key, ignore_eos=True, **asked) for key, asked in ASKED.items()
    ]
    if name == "tight":  # greedy alone may see another's rounding after a preemption (ADR 0028)
        requests = [one for one in requests if one.sampling.seed is not None]
    before = engine.load()
    plain = await answers(engine, requests, most_guesses=0)
    assert engine.load().num_draft_tokens == before.num_draft_tokens
    assert await answers(engine, requests, most_guesses=15) == plain
    after = engine.load()
    assert after.num_draft_tokens > after.num_accepted_tokens > before.num_accepted_tokens


async def test_right_guesses_need_no_step(
    engines: dict[str, TransformersEngine], tokenizer: Tokenizer
) -> None:
    engine = engines["roomy"]
    needs_guesses(engine)
    one = request(tokenizer, TEXT, "steps", ignore_eos=True)
    steps = []
    for most in (0, 15):
        before = engine.load()
        ((token_ids, _),) = await answers(engine, [one], most_guesses=most)
        after = engine.load()
        num_right = after.num_accepted_tokens - before.num_accepted_tokens
        steps.append(after.num_steps - before.num_steps)
        assert steps[-1] == len(token_ids) - num_right
    assert steps[1] < steps[0]


async def test_guesses_within_a_grammar_change_no_answer(
    engines: dict[str, TransformersEngine], tokenizer: Tokenizer, *, is_proving: bool
) -> None:
    """The matcher is copied past the guesses, and those that it refuses are not made."""
    engine = engines["roomy"]
    needs_guesses(engine)
    source = random.Random(3)
    before = engine.load()
    for number in range(300 if is_proving else 3):
        items = source.sample(["north-east", "north-west", "south", "south-east"], 2)
        schema = {"type": "array", "items": {"enum": items}, "minItems": 9, "maxItems": 12}
        requests = [
            request(
                tokenizer,
                "Where does the wind come from?",
                f"{number}-{temperature}",
                temperature=temperature,
                seed=number,
                grammar=Grammar(kind="json_schema", text=json.dumps(one)),
            )
            for temperature in (0.0, 0.9)
            for one in (schema, {"type": "object"})
        ]
        plain = await answers(engine, requests, most_guesses=0)
        assert await answers(engine, requests, most_guesses=15) == plain
    assert engine.load().num_accepted_tokens > before.num_accepted_tokens


async def test_no_guesses_are_made_where_the_setting_says_so() -> None:
    settings = replace(ROOMY, transformers=TransformersSettings(prompt_lookup=False))
    assert settings.transformers.most_guesses == 0
    assert TransformersSettings(num_speculative_tokens=3).most_guesses == 3
    assert TransformersSettings().most_guesses == 15
