"""Accounts: which ones a request fills, and with how much.

A limit has an account for each of its measures, each subject it is for, and each period::

    each user/tokens_per_day/tenant=…:user=…/2026-11-29

Rates and concurrency are one store's, budgets the database's: a request reserves in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serve.governance.limits.periods import Period
from serve.governance.limits.rules import BUDGETS, MONEY, Limit, Measure, Rules, escaped
from serve.governance.principal import Principal
from serve.governance.reservations import Demand
from serve.storage.counting.counters import Claim

MINUTE_MS = 60_000
DAY_MS = 86_400_000
RATE_KEEP_MS = 2 * MINUTE_MS
BUDGET_KEEP_MS = {"day": 8 * DAY_MS, "month": 62 * DAY_MS}
"""Budgets are kept for reports a while after their period; accounts of a month a month more."""
MAX_ACCOUNT_CHARS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Amounts of one request, reserved or used.

    Attributes:
        micros: millionths of money; None where the model has no price.
    """

    requests: int
    tokens: int
    micros: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A claim, and the limit that it is made for.

    Attributes:
        ends_at_ms: when its period ends; None for what is no budget.
    """

    limit: Limit
    measure: Measure
    claim: Claim
    ends_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All claims of one request.

    Attributes:
        day: of the budgets, which the ledger's row is of as well.
        unpriced: an enforced limit of money that cannot be counted: the model has no price.
    """

    rates: tuple[Charge, ...]
    budgets: tuple[Charge, ...]
    day: str
    unpriced: Limit | None = None

    @property
    def closed(self) -> Charge | None:
        """The first limit of 0, in which no store has room."""
        found = (charge for charge in (*self.rates, *self.budgets) if charge.claim.limit == 0)
        return next(found, None)

    @property
    def is_budgeted(self) -> bool:
        """Whether a budget may refuse it."""
        return any(charge.claim.is_enforced for charge in self.budgets)


def least(rules: Rules, model: str) -> Spent:
    """The least that any request for a model may use: a token of a prompt."""
    price = rules.price_of(model)
    micros = None if price is None else price.most(prompt=1, completion=0)
    return Spent(requests=1, tokens=1, micros=micros)


def demanded(rules: Rules, demand: Demand) -> Spent:
    """The most that a request may use."""
    price = rules.price_of(demand.model)
    return Spent(
        requests=1,
        tokens=demand.prompt_tokens + demand.max_completion_tokens,
        micros=None
        if price is None
        else price.most(prompt=demand.prompt_tokens, completion=demand.max_completion_tokens),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A caller's plan for a model, but for its amounts: the same for all its requests of a day.

    Attributes:
        charges: that claim nothing.
        until_ms: the end of the day.
    """

    charges: tuple[Charge, ...]
    day: str
    until_ms: int

    def filled(self, asked: Spent) -> Plan:
        """The plan of one request."""
        rates: list[Charge] = []
        budgets: list[Charge] = []
        unpriced: Limit | None = None
        for charge in self.charges:
            amount = amount_of(charge.measure, asked)
            if amount is None:
                unpriced = unpriced or (charge.limit if charge.claim.is_enforced else None)
                continue
            full = Charge(
                limit=charge.limit,
                measure=charge.measure,
                claim=_with_amount(charge.claim, amount),
                ends_at_ms=charge.ends_at_ms,
            )
            (budgets if charge.measure in BUDGETS else rates).append(full)
        return Plan(rates=tuple(rates), budgets=tuple(budgets), day=self.day, unpriced=unpriced)


def outline_of(
    rules: Rules, limits: Iterable[Limit], principal: Principal, model: str, *, now_ms: int
) -> Outline:
    """The accounts that requests of a caller for a model claim from.

    Args:
        limits: those that may be for it: the rules' own and the key's.
        model: as it was asked for.
        now_ms: the store's time, which the periods are of.
    """
    own_name = rules.model_of(model)
    charges = [
        _charge(rules, limit, measure, subject, now_ms=now_ms)
        for limit in limits
        if (subject := limit.subject(principal, own_name)) is not None
        for measure in limit.bounds
    ]
    return Outline(
        charges=tuple(charges),
        day=rules.calendar.day(now_ms),
        until_ms=rules.calendar.ends_at_ms("day", now_ms),
    )


def amount_of(measure: Measure, spent: Spent) -> int | None:
    """The part that a measure counts; None is money of a model without a price."""
    if measure in MONEY:
        return spent.micros
    if measure in ("requests_per_minute", "concurrent_requests"):
        return spent.requests
    return spent.tokens


def settled(charges: Sequence[Charge], spent: Spent) -> tuple[Claim, ...]:
    """The claims as they are settled: with what was used. Nothing of concurrency is."""
    claims = []
    for charge in charges:
        amount = amount_of(charge.measure, spent) or 0
        if charge.measure == "concurrent_requests":
            amount = 0
        claims.append(_with_amount(charge.claim, amount))
    return tuple(claims)


def _with_amount(claim: Claim, amount: int) -> Claim:
    # dataclasses.replace takes four times as long, and this is done ten times a request.
    return Claim(
        account=claim.account,
        amount=amount,
        limit=claim.limit,
        leak_ms=claim.leak_ms,
        keep_ms=claim.keep_ms,
        is_enforced=claim.is_enforced,
    )


def _charge(
    rules: Rules,
    limit: Limit,
    measure: Measure,
    subject: tuple[str, ...],
    *,
    now_ms: int,
) -> Charge:
    parts = [escaped(limit.name), measure, ":".join(subject) or "all"]
    ends_at_ms, keep_ms = None, RATE_KEEP_MS
    if measure in BUDGETS:
        period: Period = "month" if measure.endswith("month") else "day"
        parts.append(rules.calendar.name(period, now_ms))
        ends_at_ms = rules.calendar.ends_at_ms(period, now_ms)
        keep_ms = BUDGET_KEEP_MS[period]
    claim = Claim(
        account=_bounded("/".join(parts)),
        amount=0,
        limit=limit.bounds[measure],
        leak_ms=MINUTE_MS if measure.endswith("minute") else None,
        keep_ms=keep_ms,
        is_enforced=limit.is_enforced,
    )
    return Charge(limit=limit, measure=measure, claim=claim, ends_at_ms=ends_at_ms)


def _bounded(account: str) -> str:
    """The name, or its beginning and a digest of the whole."""
    if len(account) <= MAX_ACCOUNT_CHARS:
        return account
    digest = hashlib.sha256(account.encode()).hexdigest()
    return f"{account[: MAX_ACCOUNT_CHARS - len(digest) - 1]}#{digest}"
