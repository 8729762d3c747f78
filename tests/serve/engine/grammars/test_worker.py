"""The thread that compiles: results, errors, and a job that does not end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from serve.engine.grammars.worker import TooSlowError, Worker


async def test_results_and_errors_come_back() -> None:
    worker: Worker[int] = Worker(most_s=10, most_stuck=1)
    assert await asyncio.gather(*(worker.run(lambda n=n: n) for n in range(5))) == list(range(5))

    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await worker.run(fail)
    assert await worker.run(lambda: 1) == 1


async def test_a_job_that_does_not_end_is_left_alone() -> None:
    worker: Worker[int] = Worker(most_s=0.0, most_stuck=2)
    released = threading.Event()

    def wait() -> int:
        released.wait()
        return 0

    with pytest.raises(TooSlowError):
        await worker.run(wait)
    worker._most_s = 10
    assert await worker.run(lambda: 1) == 1
    worker._most_s = 0.0
    with pytest.raises(TooSlowError):
        await worker.run(wait)
    with pytest.raises(TooSlowError):
        await worker.run(lambda: 1)
    released.set()
    worker._most_s = 10
    async with asyncio.timeout(10):
        while worker._num_stuck:
            await asyncio.sleep(0.001)
    assert await worker.run(lambda: 1) == 1


async def test_a_caller_that_goes_away_leaves_the_worker_as_it_was() -> None:
    worker: Worker[int] = Worker(most_s=10, most_stuck=1)
    released = threading.Event()
    waiting = asyncio.create_task(worker.run(lambda: int(released.wait())))
    queued = asyncio.create_task(worker.run(lambda: 2))
    await asyncio.sleep(0)
    for task in (waiting, queued):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    released.set()
    assert await worker.run(lambda: 3) == 3
