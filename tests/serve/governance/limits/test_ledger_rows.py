"""Rows of the ledger: tokens, cost and how the request ended."""

from __future__ import annotations

import pytest

from serve.governance.limits.accounts import Spent, outline_of
from serve.governance.limits.ledger_rows import row_of
from serve.governance.limits.limits_file import parse_rules
from serve.observe.record import CACHE_HIT, RequestRecord
from serve.storage.ledger import LedgerRow
from serve.timeline import Usage
from tests.serve.governance.limits.limited import ANN, KNOWN, NOON_MS, PRICES, record_of

RULES = parse_rules(PRICES, KNOWN)
PLAN = outline_of(RULES, (), ANN, "demo", now_ms=NOON_MS).filled(Spent(requests=1, tokens=1))


def row(record: RequestRecord, arm: str = "") -> tuple[Spent, LedgerRow]:
    record.timeline.usage = Usage(prompt_tokens=1_000, completion_tokens=50, cached_tokens=400)
    return row_of(RULES, ANN, PLAN, record, NOON_MS + 5, arm=arm)


def test_what_was_cached_costs_less() -> None:
    spent, entry = row(record_of("req-1"))
    cost = 600 + 40 + 100  # 1.00, 0.10 and 2.00 for a million
    assert (spent.tokens, spent.micros) == (1_050, cost)
    assert (entry.cached_tokens, entry.cost_micros, entry.currency) == (400, cost, "EUR")
    assert (entry.request_id, entry.owner, entry.day) == ("req-1", "ann", PLAN.day)
    assert entry.finished_at_ms == NOON_MS + 5


def test_a_model_without_a_price_costs_nothing_in_no_currency() -> None:
    spent, entry = row(record_of(model="unpriced"))
    assert (spent.micros, entry.cost_micros, entry.currency) == (None, 0, "")


@pytest.mark.parametrize(
    ("code", "left", "reason", "outcome"),
    [
        (None, False, "stop", "stop"),
        (None, True, "stop", "disconnected"),
        ("engine_dead", True, None, "engine_dead"),
        (None, False, None, "unfinished"),
    ],
)
def test_the_outcome_is_what_ended_it(code, left, reason, outcome) -> None:
    record = record_of()
    record.error_code, record.is_disconnected = code, left
    record.timeline.finish_reason = reason
    assert row(record)[1].outcome == outcome


def test_an_answer_is_of_the_arm_that_made_it() -> None:
    assert row(record_of(), arm="blue")[1].arm == "blue"


@pytest.mark.parametrize(("left", "outcome"), [(False, "cached"), (True, "disconnected")])
def test_a_kept_answer_counts_as_a_request_alone(left: bool, outcome: str) -> None:
    record = record_of()
    record.verdicts.append(CACHE_HIT)
    record.is_disconnected = left
    spent, entry = row(record)
    assert (spent.requests, spent.tokens) == (1, 0)
    assert (entry.outcome, entry.prompt_tokens, entry.completion_tokens) == (outcome, 0, 0)
