"""The store's time: in milliseconds, and running within a transaction."""

from __future__ import annotations

import time

from serve.storage.clock import now_ms


async def test_it_runs_within_a_transaction(database):
    def twice(connection) -> tuple[int, int]:
        first = now_ms(connection)
        time.sleep(0.005)
        return first, now_ms(connection)

    first, second = await database.write(twice)
    assert first < second < first + 60_000


async def test_it_is_unix_time(database):
    before = time.time() * 1000 - 2
    told = await database.read(now_ms)
    assert before <= told <= time.time() * 1000 + 2
