"""A neighbour under load: the gaps of a paced stream while another request is large.

The stream has a token each 50 ms; a gap is how much later than that a token comes. What is measured
is the server's event loop, from outside, through a socket.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

TOKENS_PER_S = 20
ARGUMENTS = ("--engine", "fake", "--model", "demo", "--fake-tokens-per-s", str(TOKENS_PER_S))


@dataclass(frozen=True)
class Gaps:
    """Seconds by which each token was late, and what the large request was answered."""

    late_s: Sequence[float]
    status: int
    num_bytes: int

    @property
    def p99_s(self) -> float:
        ordered = sorted(self.late_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def heavy_requests() -> Mapping[str, tuple[str, dict[str, Any]]]:
    """Valid requests, each as large in one way as a body of 1 MiB can be: a path and a body."""
    source = random.Random("neighbour")
    text = "".join(chr(source.randrange(32, 127)) for _ in range(1_000_000))
    words = "The audit log is in the state directory. " * 24_000
    many = {"model": "demo", "prompt": ["x"] * 16, "n": 8, "max_tokens": 180, "ignore_eos": True}
    logprobs = many | {"logprobs": 20}
    talk = [
        {"role": "user" if i % 2 == 0 else "assistant", "content": "x" * 450} for i in range(2001)
    ]
    numbers = ",".join(["1"] * 490_000) + ",1234567890123456789"
    return {
        "128 choices, 20 candidates": ("/v1/completions", logprobs),
        "the same, streamed": ("/v1/completions", logprobs | {"stream": True}),
        "128 choices": ("/v1/completions", many | {"max_tokens": 200}),
        "tokens of noise, with texts": ("/tokenize", {"prompt": text, "return_token_strs": True}),
        "tokens of words, with texts": ("/tokenize", {"prompt": words, "return_token_strs": True}),
        "tokens of noise": ("/tokenize", {"prompt": text}),
        "a whole context of ids": ("/detokenize", {"tokens": [300] * 32_000}),
        "a prompt of 1 MB": ("/v1/chat/completions", _chat([{"role": "user", "content": words}])),
        "2,001 messages": ("/v1/chat/completions", _chat(talk)),
        "a long number among many": ("/detokenize", {"raw": '{"tokens":[' + numbers + "]}"}),
        "a prompt of ids": ("/v1/completions", {"model": "demo", "prompt": [300] * 32_000}),
    }


async def gaps_under(url: str, path: str, body: Mapping[str, Any], *, times: int = 1) -> Gaps:
    """Measure a neighbour's gaps while a request runs, ``times`` of it at once, and a second more."""
    raw = body["raw"] if "raw" in body else json.dumps(body)
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as client:
        stream = asyncio.create_task(_arrivals(client))
        await asyncio.sleep(0.5)
        began = time.monotonic()
        answers = await asyncio.gather(*[_post(client, path, raw) for _ in range(times)])
        await asyncio.sleep(1)
        stream.cancel()
        arrivals = [at for at in await stream if at >= began - 0.1]
    pairs = zip(arrivals, arrivals[1:], strict=False)
    late_s = [later - earlier - 1 / TOKENS_PER_S for earlier, later in pairs]
    return Gaps(late_s, max(status for status, _ in answers), answers[0][1])


async def _arrivals(client: httpx.AsyncClient) -> list[float]:
    """The times of a stream's pieces, until it is cancelled."""
    arrivals: list[float] = []
    body = _chat([{"role": "user", "content": "hi"}]) | {"stream": True, "max_tokens": 20_000}
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for _ in response.aiter_raw():
                arrivals.append(time.monotonic())
    except asyncio.CancelledError:
        pass
    return arrivals


async def _post(client: httpx.AsyncClient, path: str, raw: str) -> tuple[int, int]:
    num_bytes = 0
    headers = {"content-type": "application/json"}
    async with client.stream("POST", path, content=raw, headers=headers) as response:
        async for piece in response.aiter_raw():
            num_bytes += len(piece)
    return response.status_code, num_bytes


def _chat(messages: list[dict[str, str]]) -> dict[str, Any]:
    return {"model": "demo", "messages": messages, "max_tokens": 5, "ignore_eos": True}
