"""Limits and ledger beside 64 streams: a twentieth of the throughput at most (`make prove`).

Throughput is compared in pairs, of which the best counts: whatever else the machine does slows one
of a pair down, and never makes it faster than it is. The processor's time is compared over all.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from serve.governance.pass_through import NoLimits
from serve.governance.reservations import Reservations
from serve.storage.database import Database
from tests.serve.api.house import chat, script_of
from tests.serve.governance.limits.limited import PRICES, limits
from tests.serve.governance.limits.test_reported_scenarios import ask, service_of

STREAMS, TOKENS, ROUNDS = 64, 200, 5
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
    async with limits(database, tmp_path, LIMITS) as house:
        script = script_of("word " * TOKENS)[:TOKENS]
        service, _ = service_of(
            house, script=script, tokens_per_s=TOKENS_PER_S, max_num_seqs=STREAMS
        )

        async def taken(reservations: Reservations) -> tuple[float, float]:
            """Seconds of a round, and of the processor in it."""
            service._reservations = reservations
            began, busy = time.perf_counter(), time.process_time()
            await asyncio.gather(*(ask(service, chat(max_tokens=TOKENS)) for _ in range(STREAMS)))
            return time.perf_counter() - began, time.process_time() - busy

        await taken(house.reservations)
        pairs = [(await taken(NoLimits()), await taken(house.reservations)) for _ in range(ROUNDS)]
        assert len(await house.rows()) == (ROUNDS + 1) * STREAMS
    ratios = [without / limited for (without, _), (limited, _) in pairs]
    busy_ms = sum(limited - without for (_, without), (_, limited) in pairs) * 1000
    print(f"throughput {sorted(ratios)}, {busy_ms / ROUNDS / STREAMS:.2f} ms a request")
    assert max(ratios) >= 0.95, ratios
    assert busy_ms / ROUNDS / 1000 <= 0.05 * TOKENS / TOKENS_PER_S  # of one core
