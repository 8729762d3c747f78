"""Limits as rules: for whom, what, and how much. Pure values; limits_file.py reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from serve.governance.limits.periods import Calendar
from serve.governance.limits.prices import Price
from serve.governance.principal import Principal

Measure = Literal[
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_requests",
    "tokens_per_day",
    "money_per_day",
    "money_per_month",
]
"""Amounts that a limit may bound. The last three are budgets: they end with a calendar period."""

MEASURES: tuple[Measure, ...] = get_args(Measure)
MONEY: frozenset[Measure] = frozenset({"money_per_day", "money_per_month"})
BUDGETS: frozenset[Measure] = frozenset({"tokens_per_day", *MONEY})

EACH = "*"
KEY_LIMIT = "key"
"""The name, in errors and metrics, of the limits that are stored with a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One entry of the limits file, or the limits that a key has of its own.

    ``key``, ``user``, ``tenant`` and ``model`` say for whom: a name is that one, ``*`` each one for
    itself, None all together. A user is one of a tenant: two tenants' users of the same name are
    two.

    Attributes:
        bounds: how much of what: requests, tokens, millionths of money.
        is_enforced: False counts and marks, and refuses nobody.
    """

    name: str
    key: str | None = None
    user: str | None = None
    tenant: str | None = None
    model: str | None = None
    bounds: Mapping[Measure, int]
    is_enforced: bool = True

    def subject(self, principal: Principal, model: str) -> tuple[str, ...] | None:
        """The account's subject for a request of this caller; None where the limit is not for it.

        Args:
            model: the model's own name, not an alias.
        """
        parts: list[str] = []
        for kind, wanted, found in (
            ("tenant", self.tenant, principal.tenant),
            ("user", self.user, user_of(principal)),
            ("key", self.key, principal.key_id),
            ("model", self.model, model),
        ):
            if wanted is None:
                continue
            if wanted not in (EACH, found):
                return None
            parts.append(f"{kind}={escaped(found)}")
            if kind == "user" and self.tenant is None:
                parts.append(f"of={escaped(principal.tenant)}")
        return tuple(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that a limits file says.

    Attributes:
        prices: by the model's own name.
        aliases: the model's own name by each name that it is served by.
        currency: ISO 4217; empty without prices.
        weights: of tenants that are declared, for the fair queue.
    """

    limits: tuple[Limit, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    currency: str = ""
    calendar: Calendar = field(default_factory=lambda: Calendar("UTC"))
    weights: Mapping[str, int] = field(default_factory=dict)

    def model_of(self, name: str) -> str:
        """The model's own name, so that an alias is no way round a limit."""
        return self.aliases.get(name, name)

    def price_of(self, name: str) -> Price | None:
        return self.prices.get(self.model_of(name))

    def weight_of(self, tenant: str) -> int:
        """The tenant's share of the engine, relative to others'; 1 where none is given."""
        return self.weights.get(tenant, 1)


def most_at_once(limits: Iterable[Limit]) -> int:
    """The most amounts that apply to one request: of limits for different names one does."""
    sizes: dict[tuple[str, str], int] = {}
    num_general = 0
    for limit in limits:
        named = [
            (kind, name)
            for kind in ("key", "user", "tenant", "model")
            if (name := getattr(limit, kind)) not in (None, EACH)
        ]
        if named:
            sizes[named[0]] = sizes.get(named[0], 0) + len(limit.bounds)
        else:
            num_general += len(limit.bounds)
    largest: dict[str, int] = {}
    for (kind, _), size in sizes.items():
        largest[kind] = max(size, largest.get(kind, 0))
    return num_general + sum(largest.values())


def user_of(principal: Principal) -> str:
    """The user; a key that names no owner is a user of its own."""
    return principal.owner or principal.key_id


def escaped(text: str) -> str:
    """A part of an account's name, in which ``/``, ``:`` and ``=`` separate."""
    for char in "%/:=":
        text = text.replace(char, f"%{ord(char):02X}")
    return text
