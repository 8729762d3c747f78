"""A row of the ledger says what was computed: nothing, for an answer that was kept."""

from __future__ import annotations

from typing import Any

from serve.governance.limits.accounts import Plan, Spent
from serve.governance.limits.ledger_rows import row_of
from serve.governance.limits.rules import Rules
from serve.governance.principal import ANONYMOUS
from serve.observe.record import CACHE_HIT, RequestRecord
from serve.timeline import Timeline, Usage


def row(**record: Any) -> tuple[Spent, Any]:
    timeline = Timeline(arrived_at=0.0, finish_reason="stop")
    timeline.usage = Usage(prompt_tokens=7, completion_tokens=5, cached_tokens=9)
    made = RequestRecord(request_id="r", method="POST", model="m", timeline=timeline, **record)
    plan = Plan(rates=(), budgets=(), day="2026-11-29")
    return row_of(Rules(), ANONYMOUS, plan, made, 1, arm="blue")


def test_a_computed_answer_counts_with_its_tokens() -> None:
    spent, entered = row()
    assert (spent.requests, spent.tokens) == (1, 12)
    assert (entered.outcome, entered.prompt_tokens, entered.cached_tokens) == ("stop", 7, 7)
    assert entered.arm == "blue"


def test_a_kept_answer_counts_as_a_request_alone() -> None:
    spent, entered = row(verdicts=[CACHE_HIT])
    assert (spent.requests, spent.tokens) == (1, 0)
    assert (entered.outcome, entered.prompt_tokens, entered.completion_tokens) == ("cached", 0, 0)
    assert row(verdicts=[CACHE_HIT], is_disconnected=True)[1].outcome == "disconnected"
