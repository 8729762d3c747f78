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
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx

TOKENS_PER_S = 20
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
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
    """Valid requests, each as large in one way as a body of 1 MiB can be: a path and a body.

    A body under the name ``raw`` is sent as it is written there.
    """
    source = random.Random("neighbour")
    noise = "".join(chr(source.randrange(32, 127)) for _ in range(1_000_000))
    words = "The audit log is in the state directory. " * 24_000
    marks = "<|im_end|>" * 100_000
    return {
        **_large_answers(),
        "tokens of noise, with texts": ("/tokenize", {"prompt": noise, "return_token_strs": True}),
        "tokens of words, with texts": ("/tokenize", {"prompt": words, "return_token_strs": True}),
        "tokens of noise": ("/tokenize", {"prompt": noise}),
        "tokens of a chat": ("/tokenize", {"messages": [{"role": "user", "content": words}]}),
        "tokens of one letter": ("/tokenize", {"prompt": "a" * 1_000_000}),
        "tokens of control tokens": ("/tokenize", {"prompt": marks, "return_token_strs": True}),
        "a whole context of ids": ("/detokenize", {"tokens": [300] * 32_000}),
        "too many ids": ("/detokenize", {"tokens": [1] * 500_000}),
        "a prompt of 1 MB": (CHAT, _chat([{"role": "user", "content": words}])),
        "2,001 messages": (CHAT, _chat(_messages(2001))),
        "a text of 1 MB": (COMPLETIONS, {"model": "demo", "prompt": noise}),
        "16 texts of 60 kB": (COMPLETIONS, {"model": "demo", "prompt": [words[:60_000]] * 16}),
        "a prompt of ids": (COMPLETIONS, {"model": "demo", "prompt": [300] * 32_000}),
        **_large_numbers(),
    }


def _large_answers() -> dict[str, tuple[str, dict[str, Any]]]:
    many = {"model": "demo", "prompt": ["x"] * 16, "n": 8, "max_tokens": 180, "ignore_eos": True}
    candidates = many | {"logprobs": 20}
    chat = _chat([{"role": "user", "content": "x"}]) | {"n": 8, "max_tokens": 200}
    chat |= {"logprobs": True, "top_logprobs": 20}
    return {
        "128 choices, 20 candidates": (COMPLETIONS, candidates),
        "the same, streamed": (COMPLETIONS, candidates | {"stream": True}),
        "128 choices": (COMPLETIONS, many),
        "128 choices, stop strings": (COMPLETIONS, many | {"stop": ["qqqq", "zzzz" * 16]}),
        "8 choices of a chat, 20 candidates": (CHAT, chat),
        "too many candidates": (COMPLETIONS, candidates | {"max_tokens": 30_000}),
    }


def _large_numbers() -> dict[str, tuple[str, dict[str, Any]]]:
    small = ",".join(["1"] * 490_000)
    numbers = {
        "a long number among many": small + ",1234567890123456789",
        "a large exponent among many": small + ",1e300",
        "long numbers": ",".join(["1234567890123456789"] * 52_000),
        "large exponents": ",".join(["1e001"] * 170_000),
    }
    return {
        name: ("/detokenize", {"raw": '{"tokens":[' + text + "]}"})
        for name, text in numbers.items()
    }


async def gaps_under(
    url: str, path: str, body: Mapping[str, Any], *, times: int = 1, seconds: float = 0.0
) -> Gaps:
    """Measure a neighbour's gaps while ``times`` of a request run at once, and a second more.

    Args:
        seconds: they are sent again until so many are over; once at least.
    """
    raw = body["raw"] if "raw" in body else json.dumps(body)
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as client:
        stream = asyncio.create_task(_arrivals(client))
        await asyncio.sleep(0.5)
        began = time.monotonic()
        answers: list[tuple[int, int]] = []
        while not answers or time.monotonic() < began + seconds:
            answers += await asyncio.gather(*[_post(client, path, raw) for _ in range(times)])
        await asyncio.sleep(1)
        stream.cancel()
        arrivals = [at for at in await stream if at >= began - 0.1]
    late_s = [later - earlier - 1 / TOKENS_PER_S for earlier, later in pairwise(arrivals)]
    return Gaps(late_s, max(status for status, _ in answers), answers[0][1])


async def _arrivals(client: httpx.AsyncClient) -> list[float]:
    """The times of a stream's pieces, until it is cancelled."""
    arrivals: list[float] = []
    body = _chat([{"role": "user", "content": "hi"}]) | {"stream": True, "max_tokens": 20_000}
    with suppress(asyncio.CancelledError):
        async with client.stream("POST", CHAT, json=body) as response:
            async for _ in response.aiter_raw():
                arrivals.append(time.monotonic())  # noqa: PERF401 - it is cancelled meanwhile
    return arrivals


async def _post(client: httpx.AsyncClient, path: str, raw: str) -> tuple[int, int]:
    num_bytes = 0
    headers = {"content-type": "application/json"}
    async with client.stream("POST", path, content=raw, headers=headers) as response:
        async for piece in response.aiter_raw():
            num_bytes += len(piece)
    return response.status_code, num_bytes


def _messages(num: int) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[number % 2], "content": "x" * 450} for number in range(num)]


def _chat(messages: list[dict[str, str]]) -> dict[str, Any]:
    return {"model": "demo", "messages": messages, "max_tokens": 5, "ignore_eos": True}
