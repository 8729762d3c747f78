"""Limits and ledger beside 64 streams: a twentieth of the throughput at most (`make prove`)."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import pytest

from serve.governance.pass_through import NoLimits
from serve.storage.database import Database
from tests.serve.api.house import chat, house, pipeline_of, script_of
from tests.serve.governance.limits.limited import PRICES, limits

STREAMS, TOKENS = 64, 200
TOKENS_PER_S = 50
"""Of each stream: 3,200 together, as a large model on a GPU makes them."""
LIMITS = (
    PRICES
    + """
[[limits]]
name = "each key"
key = "*"
requests_per_minute = 1000000
tokens_per_minute = 1000000000
concurrent_requests = 1000
tokens_per_day = 100000000000
money_per_month = "900000.00"
"""
)


async def test_64_streams_lose_a_twentieth_at_most(
    database: Database, tmp_path: Path, *, is_proving: bool
) -> None:
    if not is_proving:
        pytest.skip("measures time, a minute; run by `make prove`")
    script = script_of("word " * TOKENS)[:TOKENS]
    ratios = []
    async with limits(database, tmp_path, LIMITS) as limited:
        pipeline = pipeline_of(
            max_waiting=STREAMS, script=script, tokens_per_s=TOKENS_PER_S, max_num_seqs=STREAMS
        )
        home = house(pipeline)
        async with home.client(timeout=120) as client:

            async def one() -> None:
                body = chat(max_tokens=TOKENS, stream=True)
                answer = await client.post("/v1/chat/completions", json=body)
                assert answer.status_code == 200

            async def round_with(reservations: object) -> float:
                home.service._reservations = reservations  # type: ignore[assignment]
                began = time.perf_counter()
                await asyncio.gather(*(one() for _ in range(STREAMS)))
                return STREAMS / (time.perf_counter() - began)

            for _ in range(5):
                without = await round_with(NoLimits())
                ratios.append(await round_with(limited.reservations) / without)
        assert len(await limited.rows()) == 5 * STREAMS
    assert statistics.median(ratios) >= 0.95, ratios
