"""A server without limits and without a trail refuses nothing for their sake."""

from __future__ import annotations

from serve.engine.protocol import SamplingParams
from serve.governance.pass_through import NoAudit, NoLimits
from serve.governance.principal import ANONYMOUS
from serve.governance.reservations import Demand
from serve.observe.record import RequestRecord
from serve.pipeline.events import UNBOUNDED_TOKENS, Generation, TextPrompt
from serve.timeline import Timeline

LARGEST = Generation(
    prompts=(TextPrompt("x"),) * 16, n=8, sampling=SamplingParams(max_tokens=UNBOUNDED_TOKENS)
)


async def test_everything_passes_and_is_settled() -> None:
    record = RequestRecord(request_id="r", method="POST", timeline=Timeline(arrived_at=0.0))
    demand = Demand(model="demo", prompt_tokens=1, max_completion_tokens=10**12, num_sequences=128)
    await NoLimits().check(ANONYMOUS, "demo")
    reservation = await NoLimits().reserve(ANONYMOUS, record, demand)
    assert reservation.headers == {}
    await reservation.settle(record, has_run=True)


async def test_nothing_is_written() -> None:
    record = RequestRecord(request_id="r", method="POST", timeline=Timeline(arrived_at=0.0))
    trail = await NoAudit().begin(ANONYMOUS, record, LARGEST)
    assert not trail.wants_events
    await trail.end(record)
    assert (record.status, record.error_code) == (0, None)
