"""Sums of the ledger: what is asked for, and what comes; without the database's libraries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

Dimension = Literal["day", "model", "key", "tenant", "owner"]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)
MAX_GROUPS: Final = 1000
"""Most groups of one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Entries to sum: those that hold to all that is not None.

    Attributes:
        first_day: YYYY-MM-DD in the zone of the budgets, included; so is the last.
    """

    first_day: str
    last_day: str
    tenant: str | None = None
    owner: str | None = None
    key: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The sum of entries that are of one group and one currency.

    Attributes:
        group: a value for each dimension that was asked for, in that order.
        currency: ISO 4217; empty where there were no prices.
        cost_micros: millionths of the currency's unit.
        cached_tokens: part of the prompt tokens.
        reasoning_tokens: part of the completion tokens.
    """

    group: tuple[str, ...]
    currency: str
    num_requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost_micros: int
