"""The bound on sequences, and the gate that closes for a drain."""

from __future__ import annotations

import asyncio

import pytest

from serve.errors import Draining, QueueFull
from serve.pipeline.admission import Admission


def test_refuses_above_its_bound_and_says_when_to_retry() -> None:
    admission = Admission(max_running=2, max_waiting=1)
    with admission.slots(2), admission.slots(1):
        assert admission.num_admitted == 3
        with pytest.raises(QueueFull) as refused, admission.slots(1):
            pass
        assert refused.value.status == 503
        assert refused.value.retry_after_s is not None
        assert 1 <= refused.value.retry_after_s <= 10
        assert "3 of at most 3" in refused.value.message
    assert admission.num_admitted == 0


def test_slots_come_back_when_the_block_fails() -> None:
    admission = Admission(max_running=1, max_waiting=0)
    with pytest.raises(RuntimeError), admission.slots(1):
        raise RuntimeError
    assert admission.num_admitted == 0


@pytest.mark.parametrize(
    ("max_running", "num_choices", "width"),
    [(4, 1, 1), (4, 4, 4), (4, 5, 3), (4, 2048, 3), (1, 1, 1), (1, 2048, 1)],
)
def test_a_request_of_any_size_takes_turns_and_leaves_a_slot(
    max_running: int, num_choices: int, width: int
) -> None:
    assert Admission(max_running=max_running, max_waiting=0).width(num_choices) == width


async def test_drain_refuses_newcomers_and_waits_for_the_rest() -> None:
    admission = Admission(max_running=1, max_waiting=0)
    with admission.slots(1):
        admission.close()
        with pytest.raises(Draining), admission.slots(1):
            pass
        waiting = asyncio.create_task(admission.wait_idle())
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 5)
