"""Refusals by limits, in words: which limit, how much, how much is there, and from when."""

from __future__ import annotations

from collections.abc import Sequence

from serve.errors import BudgetStoreUnavailable, InsufficientQuota, RateLimited, RequestError
from serve.governance.limits.accounts import Charge
from serve.governance.limits.prices import money
from serve.governance.limits.rules import BUDGETS, EACH, KEY_LIMIT, MONEY, Limit, Rules
from serve.storage.counting.counters import Balance, Decision

CONCURRENCY_RETRY_MS = 1000
"""Nobody knows when a running request ends."""
STORE_RETRY_S = 5


def refusal(rules: Rules, charges: Sequence[Charge], decision: Decision) -> RequestError:
    """The error for a decision that refused."""
    index = decision.refused or 0
    charge, balance = charges[index], decision.balances[index]
    if charge.measure in BUDGETS:
        return budget_gone(rules, charge, balance)
    return _over_rate(charge, balance, decision.wait_ms)


def budget_gone(rules: Rules, charge: Charge, balance: Balance) -> InsufficientQuota:
    """The error for a budget with too little room."""

    def told(amount: int) -> str:
        if charge.measure in MONEY:
            return money(amount, rules.currency)
        return f"{amount:,} tokens"

    period = "month" if charge.measure.endswith("month") else "day"
    renews = rules.calendar.told(charge.ends_at_ms or 0)
    asked = charge.claim.amount
    advice = ""
    if 0 < balance.remaining < asked and charge.measure not in MONEY:
        advice = (
            f" {told(balance.remaining)} are left, the prompt's included: a smaller max_tokens "
            "may fit."
        )
    elif 0 < balance.remaining < asked:
        advice = f" {told(balance.remaining)} are left: a smaller max_tokens may fit."
    return InsufficientQuota(
        f"The budget {_named(charge.limit)} has no room for this request: its limit is "
        f"{told(balance.limit)} a {period}, of which {told(balance.settled)} are used and "
        f"{told(balance.reserved)} reserved by requests that run; this one asks for up to "
        f"{told(asked)}.{advice} The budget renews at {renews}."
    )


def closed(rules: Rules, charge: Charge) -> RequestError:
    """The error for a limit of 0."""
    nothing = Balance(account=charge.claim.account, settled=0, reserved=0, limit=0)
    if charge.measure in BUDGETS:
        return budget_gone(rules, charge, nothing)
    error = _over_rate(charge, nothing, None)
    return RateLimited(error.message, wait_ms=None)


def unpriced(limit: Limit, model: str) -> InsufficientQuota:
    """The error for a budget of money and a model that nobody has given a price."""
    return InsufficientQuota(
        f"The budget {_named(limit)} counts money, and the model {model!r} has no price on this "
        "server. Tell its operator: the limits file lacks one."
    )


def store_away() -> BudgetStoreUnavailable:
    """The error for a caller with a budget while the database is away."""
    return BudgetStoreUnavailable(
        "The database that keeps the budgets does not answer, and a request with a budget cannot "
        "run without it. Ask again later.",
        retry_after_s=STORE_RETRY_S,
    )


def spool_full() -> BudgetStoreUnavailable:
    """The error for everybody while usage can no longer be written down."""
    return BudgetStoreUnavailable(
        "The database has been away for so long that no more usage can be kept for it. Ask again "
        "later, or tell the operator.",
        retry_after_s=STORE_RETRY_S,
    )


def _counted(amount: int, nouns: str) -> str:
    return f"{amount:,} {nouns.removesuffix('s') if amount == 1 else nouns}"


def _over_rate(charge: Charge, balance: Balance, wait_ms: int | None) -> RateLimited:
    asked, limit = charge.claim.amount, balance.limit
    if charge.measure == "concurrent_requests":
        return RateLimited(
            f"The limit {_named(charge.limit)} is {_counted(limit, 'requests')} at once, and "
            f"{balance.reserved:,} {'runs' if balance.reserved == 1 else 'run'}. Ask again when "
            "one is over.",
            wait_ms=CONCURRENCY_RETRY_MS,
        )
    noun = "requests" if charge.measure == "requests_per_minute" else "tokens"
    if asked > charge.claim.limit:
        return RateLimited(
            f"The limit {_named(charge.limit)} is {_counted(charge.claim.limit, noun)} a "
            f"minute, and this request asks for up to {asked:,}, its prompt and max_tokens "
            "together: it can never fit. Ask for fewer.",
            wait_ms=None,
        )
    if asked > limit:
        return RateLimited(
            f"The limit {_named(charge.limit)} is {_counted(charge.claim.limit, noun)} a "
            f"minute, of which this replica has {limit:,} while the counters that replicas share "
            f"are away; this request asks for up to {asked:,}. Ask again later, or for fewer.",
            wait_ms=STORE_RETRY_S * 1000,
        )
    wait_ms = CONCURRENCY_RETRY_MS if wait_ms is None else wait_ms
    return RateLimited(
        f"The limit {_named(charge.limit)} is {_counted(limit, noun)} a minute: "
        f"{balance.settled:,} used, {balance.reserved:,} reserved by requests that run, and this "
        f"one asks for up to {asked:,}; {balance.remaining:,} left. Ask again in "
        f"{max(1, -(-wait_ms // 1000))} s"
        f"{', or with a smaller max_tokens' if noun == 'tokens' and balance.remaining else ''}.",
        wait_ms=wait_ms,
    )


def _named(limit: Limit) -> str:
    """The limit's name, and whose account it is."""
    if limit.name == KEY_LIMIT:
        return "of this key"
    subjects = [
        f"per {kind}" if name == EACH else f"{kind} {name}"
        for kind, name in (
            ("key", limit.key),
            ("user", limit.user),
            ("tenant", limit.tenant),
            ("model", limit.model),
        )
        if name is not None
    ]
    return f"'{limit.name}' ({', '.join(subjects) or 'of all together'})"
