"""Clients that stream without a pause, over HTTP, and note how every stream ended."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.e2e.server import Server

RETRY_S = 0.2


class StreamLoad:
    """``num_clients`` streams at any time, each on a connection of its own.

    Attributes:
        ends: how many streams ended by which reason: ``length``, an error's code, or ``cut off``
            for one without a final event and ``[DONE]``.
        num_refused: answers that said 503 and when to come again.
        odd: answers and failures that should not be.
    """

    def __init__(self, server: Server, num_clients: int, *, max_tokens: int = 300) -> None:
        self._url = server.url + "/v1/completions"
        self._body = {
            "model": "tiny",
            "max_tokens": max_tokens,
            "ignore_eos": True,
            "stream": True,
        }
        self._num_clients = num_clients
        self._num_prompt_tokens = 1
        self._open: set[object] = set()
        self.ends: Counter[str] = Counter()
        self.num_refused = 0
        self.odd: list[str] = []

    def fill_prompts(self, num_tokens: int) -> None:
        """Prompts of that many tokens, no two of them alike at their beginning."""
        self._num_prompt_tokens = num_tokens

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The load, until the context is left; then running streams end by themselves."""
        is_over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._num_clients):
                group.create_task(self._client(is_over))
            try:
                yield
            finally:
                is_over.set()

    async def all_open(self) -> set[object]:
        """Wait until every client has a stream that gave a token; those streams."""
        async with asyncio.timeout(60):
            while len(self._open) < self._num_clients:
                await asyncio.sleep(0.001)
        return set(self._open)

    async def ended(self, streams: set[object]) -> None:
        """Wait until none of the streams is open. Not long: it is for streams of the dead."""
        async with asyncio.timeout(10):
            while streams & self._open:
                await asyncio.sleep(0.001)

    async def _client(self, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            try:
                await self.one()
            except httpx.HTTPError as error:
                self.odd.append(repr(error))
                await asyncio.sleep(RETRY_S)

    async def one(self) -> None:
        """One request, to its end."""
        prompt = [random.randrange(3, 1000) for _ in range(self._num_prompt_tokens)]
        async with (
            # Certificates, of which there are none here, would take 30 ms to read each time.
            httpx.AsyncClient(timeout=60, verify=False) as client,
            client.stream("POST", self._url, json=self._body | {"prompt": prompt}) as response,
        ):
            if response.status_code != httpx.codes.OK:
                await response.aread()
                if response.status_code == 503 and int(response.headers["retry-after"]) > 0:
                    self.num_refused += 1
                else:
                    self.odd.append(f"{response.status_code} {response.text}")
                await asyncio.sleep(RETRY_S)
                return
            await self._read(response)

    async def _read(self, response: httpx.Response) -> None:
        stream = object()
        last, end = "", "cut off"
        try:
            async for line in response.aiter_lines():
                if line == "data: [DONE]":
                    end = _reason(last)
                elif line:
                    last = line
                    self._open.add(stream)
        except httpx.HTTPError as error:
            self.odd.append(repr(error))
        self._open.discard(stream)
        self.ends[end] += 1


def _reason(line: str) -> str:
    event = json.loads(line.removeprefix("data: "))
    if "error" in event:
        return str(event["error"]["code"])
    return event["choices"][0]["finish_reason"] or "no reason"
