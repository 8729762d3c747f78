"""Many requests of ten tenants that ask the same: nobody gets an answer of another one's.

Every computed answer names the tenant for which it was computed and has a number of its own, so a
hit that is not the very answer of its name would show. 100,000 by ``make prove``.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from serve.governance.sealing import SealingKey
from serve.service.response_cache.names import AnswerNames
from serve.service.response_cache.sealed_store import SealedStore
from serve.service.response_cache.store import AnswerStore
from serve.storage.answers.valkey_answers import ValkeyAnswers
from tests.serve.api.house import CHAT, chat
from tests.serve.service.response_cache.cached_house import (
    MAX_AGE_S,
    cache_of,
    cached_house,
    memory_store,
)
from tests.serve.service.response_cache.test_answers import without_id_and_time
from tests.servers.fixtures import needs_redis

TENANTS = [f"tenant-{number}" for number in range(10)]
MODELS = ("demo", "alias", "wise")
NUM_QUESTIONS = 40


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[AnswerStore]:
    if request.param == "memory":
        yield memory_store()
        return
    answers = ValkeyAnswers(
        request.getfixturevalue("redis_server").url,
        max_bytes=64 << 20,
        max_entries=100_000,
        max_age_s=MAX_AGE_S,
        timeout_s=30.0,
    )
    store = SealedStore(answers, SealingKey(b"k" * 32))
    yield store
    await store.close()


async def test_nobody_gets_an_answer_of_another_tenant(
    store: AnswerStore, is_proving: bool
) -> None:
    num_requests = 100_000 if is_proving else 150
    randomness = random.Random(21)
    cache = cache_of(store, names=AnswerNames(key=b"n" * 32))
    home = cached_house(cache)
    first: dict[tuple[Any, ...], bytes] = {}
    num_foreign = num_different = num_hits = 0
    async with home.client() as client:
        for _ in range(num_requests):
            tenant, model = randomness.choice(TENANTS), randomness.choice(MODELS)
            question = f"question {randomness.randrange(NUM_QUESTIONS if is_proving else 2)}"
            is_stream = randomness.random() < 0.5
            answer = await _ask(client, tenant, model, question, is_stream=is_stream)
            await cache.written()
            text = without_id_and_time(answer.content)
            num_foreign += _owners_in(answer, is_stream=is_stream) != {tenant}
            state = answer.headers["x-response-cache"]
            num_hits += state == "hit"
            # The names of one model share answers, under the name that was asked for.
            name = (tenant, model == "wise", question)
            if state == "miss":
                assert name not in first
                first[name] = text
            asked = (*name, model, is_stream)
            num_different += first.setdefault(asked, text) != text
    assert (num_foreign, num_different) == (0, 0)
    assert num_hits == num_requests - home.pipeline.num_run > num_requests / 4
    assert cache.figures()["response_cache_failures_total"] == 0


async def _ask(
    client: httpx.AsyncClient, tenant: str, model: str, question: str, *, is_stream: bool
) -> httpx.Response:
    body = chat(question, temperature=0, stream=is_stream) | {"model": model}
    return await client.post(CHAT, json=body, headers={"authorization": tenant})


def _owners_in(answer: httpx.Response, *, is_stream: bool) -> set[str]:
    """The tenants that an answer's text is of."""
    assert answer.status_code == 200
    if is_stream:
        lines = [line[6:] for line in answer.text.split("\n\n") if line.startswith("data: {")]
        text = "".join(
            choice["delta"].get("content") or ""
            for line in lines
            for choice in orjson.loads(line)["choices"]
        )
    else:
        text = answer.json()["choices"][0]["message"]["content"]
    return {text.split()[0]}
