"""`python -m benchmarks.scaling.measure`: what the simulation needs to know of one replica.

Starts `python -m serve` on loopback, as a pod would, and takes: the seconds from the process's
start until /readyz; a stream's first token and the time between its tokens when it is alone; and
that time when all slots run. Medians over rounds. A pod's image pull and scheduling come on top.
Prompts are short, so that the time between tokens holds next to nothing of others' prefill; give
--prompt-repeats for the first token of a longer one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.child import Child, free_port, wait_ready

READY_TIMEOUT_S = 1800.0
POLL_S = 0.05
PROMPT = "Describe what a queue at a counter and a server have in common, in many words. "


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The stamps of one stream, in seconds from its sending."""

    first_s: float
    last_s: float
    tokens: int

    @property
    def between_s(self) -> float:
        return (self.last_s - self.first_s) / (self.tokens - 1)


@contextmanager
def server(arguments: Sequence[str]) -> Iterator[tuple[str, float]]:
    """A server of ours: its address, and the seconds until it was ready.

    Raises:
        StartError: it ended, or was not ready in half an hour.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "serve", "--port", str(port), *arguments]
    with tempfile.TemporaryDirectory() as folder:
        started_at = time.monotonic()
        child = Child(command, Path(folder) / "server.log")
        try:
            ready = wait_ready(child, f"{url}/readyz", timeout_s=READY_TIMEOUT_S, pause_s=POLL_S)
            asyncio.run(ready)
            yield url, time.monotonic() - started_at
        finally:
            asyncio.run(child.close())


async def stream(client: httpx.AsyncClient, model: str, tokens: int, prompt: str) -> Stream:
    """One streamed completion of exactly so many tokens.

    Raises:
        httpx.HTTPError: it was refused or broke.
        ValueError: it had fewer than two tokens.
    """
    body = {
        "model": model,
        "prompt": prompt,
        "max_tokens": tokens,
        "stream": True,
        "ignore_eos": True,
        "stream_options": {"include_usage": True},
    }
    sent_at = time.monotonic()
    first = last = 0.0
    count = 0
    async with client.stream("POST", "/v1/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event: dict[str, Any] = json.loads(line.removeprefix("data: "))
            if event.get("usage"):
                count = event["usage"]["completion_tokens"]
            elif event["choices"]:
                last = time.monotonic() - sent_at
                first = first or last
    if count < 2:
        raise ValueError(f"a stream had {count} tokens: at least 2 are needed")
    return Stream(first_s=first, last_s=last, tokens=count)


async def rounds(
    url: str, *, streams: int, tokens: int, number: int, prompt: str = PROMPT
) -> list[Stream]:
    """Run so many streams at once, that many times, after one that warms up.

    Prompts begin differently, which keeps prefix caches out of it.
    """
    async with httpx.AsyncClient(base_url=url, timeout=600, trust_env=False) as client:
        model = (await client.get("/v1/models")).raise_for_status().json()["data"][0]["id"]
        await stream(client, model, 8, "warm ")
        streams_seen: list[Stream] = []
        for turn in range(number):
            turn_streams = (
                stream(client, model, tokens, f"{turn}-{n} {prompt}") for n in range(streams)
            )
            streams_seen += await asyncio.gather(*turn_streams)
        return streams_seen


def main(argv: Sequence[str]) -> int:
    """Measure, and print one JSON object that `--costs` takes; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling.measure",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.scaling.measure --slots 8 -- --model qwen2.5-0.5b",
    )
    parser.add_argument("--slots", type=int, default=8, help="streams at once (default: 8)")
    parser.add_argument("--tokens", type=int, default=64, help="of each stream (default: 64)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument(
        "--prompt-repeats", type=int, default=1, metavar="N", help="of 16 words (default: 1)"
    )
    parser.add_argument("--kv-tokens", type=int, default=100_000, help="that its KV cache holds")
    parser.add_argument("serve", nargs="*", help="arguments of `python -m serve`, after --")
    options = parser.parse_args(argv)
    slots = ["--max-num-seqs", str(options.slots)]
    with server([*options.serve, *slots]) as (url, start_s):
        common = {"tokens": options.tokens, "number": options.rounds}
        prompt = PROMPT * options.prompt_repeats
        first = asyncio.run(rounds(url, streams=1, tokens=2, number=options.rounds, prompt=prompt))
        alone = asyncio.run(rounds(url, streams=1, **common))
        full = asyncio.run(rounds(url, streams=options.slots, **common))
    print(
        json.dumps(
            {
                "start_s": round(start_s, 2),
                "first_token_s": round(statistics.median(seen.first_s for seen in first), 4),
                "one_s": round(statistics.median(seen.between_s for seen in alone), 5),
                "full_s": round(statistics.median(seen.between_s for seen in full), 5),
                "slots": options.slots,
                "kv_tokens": options.kv_tokens,
            }
        )
    )
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the server too
    sys.exit(main(sys.argv[1:]))
