"""Limits, budgets and the ledger, from the settings; and nothing where they ask for none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serve.composition.stores import Stores
from serve.config import Config
from serve.governance.identity.key_table import KeyTable, check_limits
from serve.governance.pass_through import NoLimits, NoLimitsOfKeys
from serve.governance.reservations import Reservations
from serve.observe.metrics import Metrics
from serve.storage.configured import needs_database

if TYPE_CHECKING:  # a start without limits needs none of their libraries
    from serve.governance.limits.rules_in_force import RulesInForce
    from serve.storage.ledger import AlsoEnter


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a server.

    Attributes:
        reservations: for the service.
        rules: in force; None without limits and ledger.
    """

    reservations: Reservations
    rules: RulesInForce | None = None

    def weight_of(self, tenant: str) -> int:
        """The tenant's share of the engine, for the fair queue."""
        return 1 if self.rules is None else self.rules.rules.weight_of(tenant)

    @property
    def time_zone(self) -> str:
        """The zone in which the ledger's days begin and end."""
        return "UTC" if self.rules is None else self.rules.rules.calendar.zone


def needs_ledger(config: Config) -> bool:
    """Whether these settings write usage down."""
    return needs_database(config)


@asynccontextmanager
async def open_limits(
    config: Config,
    stores: Stores,
    metrics: Metrics,
    keys: KeyTable | None,
    *,
    knows_others: bool = False,
    also: Iterable[AlsoEnter] = (),
) -> AsyncIterator[Limits]:
    """Open limits and ledger, and look after them until the block ends.

    Args:
        keys: None where callers need none.
        knows_others: whether callers are known by other means than keys, such as tokens of the
            site's own: users cannot be checked then.
        also: done in the transaction of each settlement.

    Raises:
        StartupError: the limits file cannot be used, or usage could not be written down.
    """
    if stores.database is None or not needs_ledger(config):
        yield Limits(reservations=_unlimited(keys))
        return
    # Only where it is asked for: it imports what a database needs.
    from serve.composition.counted_limits import open_counted_limits  # noqa: PLC0415

    async with open_counted_limits(
        config, stores, stores.database, metrics, keys, knows_others=knows_others, also=also
    ) as (reservations, rules):
        yield Limits(reservations=reservations, rules=rules)


def _unlimited(keys: KeyTable | None) -> Reservations:
    """Limits of a server that counts nothing. Raises StartupError where a key has some."""
    if keys is None:
        return NoLimits()
    check_limits(keys.keys())
    return NoLimitsOfKeys(keys.limits_of)
