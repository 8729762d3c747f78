"""OpenAI's client with its default retries against three times what the server holds.

Each client asks again as soon as it is answered. A minute of real time, so `make prove` runs it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.server import serving

NUM_RUNNING, NUM_QUEUED = 16, 32
NUM_CLIENTS = 3 * (NUM_RUNNING + NUM_QUEUED)
NUM_REQUESTS = 10


class Crowd:
    """Clients that count what they send, and what becomes of it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.num_sent = self.num_answered = self.num_failed = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._one() for _ in range(NUM_CLIENTS)))

    async def _one(self) -> None:
        http = openai.DefaultAsyncHttpxClient(event_hooks={"request": [self._count]})
        client = openai.AsyncOpenAI(base_url=f"{self._url}/v1", api_key="none", http_client=http)
        async with client:
            for _ in range(NUM_REQUESTS):
                try:
                    await client.chat.completions.create(
                        model="demo",
                        messages=[{"role": "user", "content": "Tell me something."}],
                        max_tokens=32,
                        extra_body={"ignore_eos": True},
                    )
                    self.num_answered += 1
                except openai.APIStatusError:
                    self.num_failed += 1

    async def _count(self, _request: Any) -> None:
        self.num_sent += 1


async def test_nearly_all_are_answered(tmp_path: Path, *, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("takes a minute; run by `make prove`")
    arguments = [
        *("--model", "demo", "--engine", "fake", "--fake-tokens-per-s", "50"),
        *("--max-num-seqs", str(NUM_RUNNING), "--max-num-queued-reqs", str(NUM_QUEUED)),
    ]
    with serving(tmp_path, arguments) as server:
        crowd = Crowd(server.url)
        await crowd.run()
    total = NUM_CLIENTS * NUM_REQUESTS
    print(f"answered {crowd.num_answered}/{total}, sent {crowd.num_sent}")
    assert crowd.num_answered >= 0.99 * total
    assert crowd.num_sent <= 1.5 * total
