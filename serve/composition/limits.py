"""Limits, budgets and the ledger, from the settings; and nothing where they ask for none."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from serve.composition.stores import Stores
from serve.config import Config
from serve.errors import StartupError
from serve.governance.key_table import KeyTable
from serve.governance.limits.existence import names_of
from serve.governance.limits.reserving import LimitedReservations
from serve.governance.limits.rules import Rules
from serve.governance.limits.rules_in_force import RulesInForce, no_key_limits
from serve.governance.limits.settling import Settlements
from serve.governance.limits.spool import Spool
from serve.governance.limits.store_clock import StoreClock
from serve.governance.limits.upkeep import Upkeep
from serve.governance.pass_through import REMEDY, NoLimits, NoLimitsOfKeys
from serve.governance.reservations import Reservations
from serve.observe.metrics import Metrics
from serve.storage.clock import now_ms
from serve.storage.counters import Counters
from serve.storage.database import Database
from serve.storage.fallback_counters import FallbackCounters
from serve.storage.ledger import AlsoEnter, Ledger
from serve.storage.memory_counters import MemoryCounters
from serve.storage.sql_counters import SqlCounters
from serve.storage.valkey_counters import ValkeyCounters

log = logging.getLogger(__name__)


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
    has_keys = config.api_keys == "database"  # which a command may give limits at any time
    return config.usage_ledger or has_keys or bool(config.limits_file or config.database_url_file)


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
    database = stores.database
    rules = RulesInForce(
        config.limits_file,
        lambda: names_of(config, None if keys is None else keys.keys(), knows_others=knows_others),
        key_limits=no_key_limits if keys is None else keys.limits_of,
        on_rules=lambda rules: _count_from_zero(rules, metrics),
    )
    rates = _rates(stores, database)
    settlements = Settlements(Ledger(database, tuple(also)), _spool(config))
    reservations = LimitedReservations(
        rules,
        rates=rates,
        budgets=SqlCounters(database),
        settlements=settlements,
        clock=StoreClock(lambda: database.read(now_ms)),
        listener=metrics,
    )
    metrics.attach_limits(lambda: _figures(config, rules, reservations))
    upkeep = Upkeep(reservations)
    await upkeep.start()
    log.info("limits in force", extra={"limits": len(rules.rules.limits)})
    try:
        yield Limits(reservations=reservations, rules=rules)
    finally:
        await upkeep.close()
        await rates.close()


def _unlimited(keys: KeyTable | None) -> Reservations:
    """Limits of a server that counts nothing. Raises StartupError where a key has some."""
    if keys is None:
        return NoLimits()
    stored = keys.keys()
    for entry in stored:
        if entry.limits and not entry.disabled:
            raise StartupError(
                f"The API key {entry.key_id} has limits, and nothing counts them: {REMEDY}."
            )
    return NoLimitsOfKeys(keys.limits_of)


def _rates(stores: Stores, database: Database) -> Counters:
    """Counters of rates: a server that replicas share, or this process."""
    if stores.cache_url is not None:
        shared = ValkeyCounters(stores.cache_url)
        return FallbackCounters(shared, lambda: shared.num_replicas)
    if database.is_shared:
        # How many replicas there are nobody knows: while it is away, each allows the whole limit.
        return FallbackCounters(SqlCounters(database), lambda: 1)
    return MemoryCounters()


def _spool(config: Config) -> Spool:
    try:
        return Spool(config.state_dir)
    except OSError as error:
        raise StartupError(
            f"Usage could not be kept in {config.state_dir} while the database is away: "
            f"{error.strerror}."
        ) from None


def _count_from_zero(rules: Rules, metrics: Metrics) -> None:
    for limit in rules.limits:
        for measure in limit.bounds:
            metrics.limit_known(limit.name, measure)


def _figures(
    config: Config, rules: RulesInForce, reservations: LimitedReservations
) -> dict[str, float]:
    """Figures of limits for a scrape."""
    figures: dict[str, float] = {
        "reservations_held": reservations.leases.num_held,
        "usage_spool_requests": reservations.settlements.num_waiting,
    }
    if config.limits_file is not None:
        figures["limits_file_usable"] = rules.is_in_force
    return figures
