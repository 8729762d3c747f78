"""A server of few lines that speaks the API: it answers at once, or refuses.

Mocks `python -m serve`, which test_hold.py runs for real.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.serving.client import Endpoint

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Stub:
    """Answers with as many one-token chunks as were asked for.

    Attributes:
        asked: bodies, in the order of arrival.
        most: more requests at once than that are refused.
        seen_at_once: most requests in flight.
    """

    def __init__(self, most: int = 1000, pause_s: float = 0.0) -> None:
        self.asked: list[dict[str, Any]] = []
        self.most = most
        self.pause_s = pause_s
        self.in_flight = self.seen_at_once = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        body = json.loads(await reader.readexactly(length))
        self.asked.append(body)
        self.in_flight += 1
        self.seen_at_once = max(self.seen_at_once, self.in_flight)
        if self.in_flight > self.most:
            writer.write(BUSY)
        else:
            await self._answer(body, writer)
        self.in_flight -= 1
        writer.close()
        await writer.wait_closed()

    async def _answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for number in range(body["max_tokens"]):
            if self.pause_s:
                await asyncio.sleep(self.pause_s)
            writer.write(_event({"choices": [{"index": 0, "delta": {"content": f"{number} "}}]}))
        writer.write(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}))
        words = sum(len(each["content"].split()) for each in body["messages"])
        usage = {"prompt_tokens": 2 * words, "completion_tokens": body["max_tokens"]}
        writer.write(_event({"choices": [], "usage": usage}) + _event("[DONE]") + b"0\r\n\r\n")
        await writer.drain()


def _event(document: object) -> bytes:
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    data = f"data: {text}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def serving(stub: Stub) -> AsyncIterator[Endpoint]:
    """The stub on a loopback socket."""
    server = await asyncio.start_server(stub, "127.0.0.1", 0, backlog=512)
    async with server:
        yield Endpoint.parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        while stub.in_flight:
            await asyncio.sleep(0.001)
