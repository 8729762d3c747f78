"""Mutated bodies leave nothing behind: no slot, no task, and no object that stays.

tests/e2e/test_memory.py measures the same on a real server.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from itertools import islice

from tests.serve.api.house import house, is_free, pipeline_of
from tests.serve.api.mutations import BODIES, mutations

NUM_BODIES = 600
MOST_OBJECTS = 500
"""Objects more at the end than in the middle: caches that fill up, and what the client keeps."""


async def test_mutated_bodies_leave_no_objects_behind() -> None:
    home = house(pipeline_of(max_model_len=512, max_waiting=200))
    bodies = mutations("objects")
    counts, statuses = [], Counter[int]()
    async with home.client(headers={"content-type": "application/json"}) as client:
        for _ in range(3):
            for path, body in islice(bodies, NUM_BODIES // 3):
                response = await client.post(path, content=body)
                statuses[response.status_code] += 1
                assert response.status_code != 500, body[:200]
            home.records.all.clear()
            await asyncio.sleep(0.001)  # tasks that were cancelled end in the next turn
            gc.collect()
            counts.append(len(gc.get_objects()))
            assert is_free(home.pipeline)
            assert len(asyncio.all_tasks()) == 1
    assert counts[2] - counts[1] < MOST_OBJECTS, counts
    assert statuses[200] > NUM_BODIES / 20, "some of them are valid"
    assert statuses[400] > NUM_BODIES / 4


def test_the_same_seed_gives_the_same_bodies_of_every_route() -> None:
    first, second = (list(islice(mutations("seed"), 300)) for _ in range(2))
    assert first == second
    assert {path for path, _ in first} == {path for path, _ in BODIES}
    assert len({body for _, body in first}) > 280
