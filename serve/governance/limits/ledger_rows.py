"""Rows of the ledger: what a request used, what it costs, and how it ended."""

from __future__ import annotations

from serve.governance.limits.accounts import Plan, Spent
from serve.governance.limits.rules import Rules, user_of
from serve.governance.principal import Principal
from serve.observe.record import RequestRecord
from serve.storage.ledger import LedgerRow
from serve.timeline import Usage

DISCONNECTED = "disconnected"
CACHED = "cached"


def row_of(
    rules: Rules,
    principal: Principal,
    plan: Plan,
    record: RequestRecord,
    now_ms: int,
    *,
    arm: str = "",
) -> tuple[Spent, LedgerRow]:
    """The amounts that a request that ran is settled with, and its row.

    Tokens that were computed count whatever the request's end: those of a caller that left, and
    those before a failure. None were for an answer out of the response cache, which has cost
    nothing but the request.
    """
    usage, model = record.timeline.usage, record.model or ""
    if record.is_cached:
        usage = Usage()
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    price = rules.price_of(model)
    micros = None
    if price is not None:
        micros = price.cost(
            prompt=usage.prompt_tokens, cached=cached, completion=usage.completion_tokens
        )
    row = LedgerRow(
        request_id=record.request_id,
        finished_at_ms=now_ms,
        day=plan.day,
        tenant=principal.tenant,
        owner=user_of(principal),
        key_id=principal.key_id,
        model=model,
        route=record.route,
        outcome=_outcome(record),
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=cached,
        completion_tokens=usage.completion_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost_micros=micros or 0,
        currency="" if price is None else rules.currency,
        arm=arm,
    )
    return Spent(requests=1, tokens=usage.total_tokens, micros=micros), row


def _outcome(record: RequestRecord) -> str:
    if record.error_code is not None:
        return record.error_code
    if record.is_disconnected:
        return DISCONNECTED
    if record.is_cached:
        return CACHED
    return record.timeline.finish_reason or "unfinished"
