"""One streamed request over a connection of its own, with the fewest steps of the event loop."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a request.

    Attributes:
        sent_at: monotonic seconds.
        status: 0 where there was no answer.
        ttft_s: to the first event that holds text; None where there was none.
        e2e_s: to the end of the answer, or of the refusal.
        is_whole: a stream that came to its end without an error.
    """

    sent_at: float
    status: int
    ttft_s: float | None
    e2e_s: float
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The request that a tenant sends again and again."""

    url: str
    key: str
    max_tokens: int
    text: str = "Tell me something."
    headers: Mapping[str, str] | None = None

    def encoded(self) -> bytes:
        body: dict[str, Any] = {
            "model": "measured",
            "messages": [{"role": "user", "content": self.text}],
            "max_tokens": self.max_tokens,
            "ignore_eos": True,
            "stream": True,
        }
        content = json.dumps(body).encode()
        headers = {
            "host": urlsplit(self.url).netloc,
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            "content-length": str(len(content)),
            "connection": "close",
            **(self.headers or {}),
        }
        lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def ask(question: Question) -> Outcome:
    """Send it once, and read its answer to the end."""
    sent_at = time.monotonic()
    status, ttft_s, last = 0, None, b""
    try:
        parts = urlsplit(question.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(question.encoded())
            while piece := await reader.read(65_536):
                if not status:
                    status = int(piece[9:12])
                if ttft_s is None and b"data: {" in last + piece:
                    ttft_s = time.monotonic() - sent_at
                last = last[-100:] + piece
        finally:
            writer.close()
    except OSError:
        pass
    is_whole = status == 200 and b"[DONE]" in last and b'"error"' not in last
    return Outcome(
        sent_at=sent_at,
        status=status,
        ttft_s=ttft_s,
        e2e_s=time.monotonic() - sent_at,
        is_whole=is_whole,
    )


async def at_times(question: Question, offsets_s: Sequence[float]) -> list[Outcome]:
    """Send it at each of these times after now, whatever became of those before.

    Answers have 0.3 to 1.7 times its tokens: equal ones would all end at once, again and again.
    """
    begun_at = time.monotonic()
    source = random.Random(question.key)
    tasks = []
    for offset_s in offsets_s:
        delay_s = begun_at + offset_s - time.monotonic()
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        max_tokens = max(1, round(question.max_tokens * source.uniform(0.3, 1.7)))
        tasks.append(asyncio.create_task(ask(replace(question, max_tokens=max_tokens))))
    return list(await asyncio.gather(*tasks))


async def in_turn(question: Question, seconds: float) -> list[Outcome]:
    """Send it, and again as soon as it is answered, until the time is over."""
    until = time.monotonic() + seconds
    outcomes = []
    while time.monotonic() < until:
        outcomes.append(await ask(question))
        if not outcomes[-1].is_whole:
            await asyncio.sleep(0.2)
    return outcomes
