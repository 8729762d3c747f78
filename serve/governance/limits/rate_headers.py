"""``x-ratelimit-*``: the room that is left, in the names and forms of OpenAI's API.

Of several limits the tightest is told: the one with the least room. A rate resets when its account
is empty, a budget when its period ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from serve.governance.limits.accounts import MINUTE_MS, Charge
from serve.governance.limits.rules import Measure
from serve.storage.counting.counters import Balance

OBSERVED = "x-intramural-limits-observed"
"""Names of the limits that are only observed and that would have refused the request."""

_KINDS: dict[str, frozenset[Measure]] = {
    "requests": frozenset({"requests_per_minute"}),
    "tokens": frozenset({"tokens_per_minute", "tokens_per_day"}),
}

Told = tuple[Charge, Balance]


def headers_of(told: Sequence[Told], observed: Iterable[str], now_ms: int) -> dict[str, str]:
    """The headers of an answer.

    Args:
        told: the charges of a request with the balances after it.
        observed: names of limits.
        now_ms: the store's time.
    """
    headers: dict[str, str] = {}
    for kind, measures in _KINDS.items():
        applying = [
            (balance.remaining, _reset_ms(charge, balance, now_ms), balance.limit)
            for charge, balance in told
            if charge.measure in measures and charge.claim.is_enforced
        ]
        if applying:
            remaining, reset_ms, limit = min(applying)
            headers[f"x-ratelimit-limit-{kind}"] = str(limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(remaining)
            headers[f"x-ratelimit-reset-{kind}"] = duration(reset_ms)
    names = dict.fromkeys(observed)
    if names:
        headers[OBSERVED] = ", ".join(names)
    return headers


def without(told: Sequence[Told]) -> list[Told]:
    """The balances as they are once the request's own reservation has been given back."""
    return [
        (charge, replace(balance, reserved=max(0, balance.reserved - charge.claim.amount)))
        for charge, balance in told
    ]


def duration(milliseconds: int) -> str:
    """A duration as OpenAI writes it: ``120ms``, ``1s``, ``6m0s``, ``1h0m0s``; rounded up."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    seconds = -(-milliseconds // 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _reset_ms(charge: Charge, balance: Balance, now_ms: int) -> int:
    if charge.ends_at_ms is not None:
        return max(0, charge.ends_at_ms - now_ms)
    used = balance.settled + balance.reserved
    return -(-used * (charge.claim.leak_ms or MINUTE_MS) // balance.limit)
