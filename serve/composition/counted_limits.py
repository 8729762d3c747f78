"""Limits that are in force: rules, counters, the ledger and what looks after them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from serve.composition.stores import Stores
from serve.config import Config
from serve.errors import StartupError
from serve.governance.identity.key_table import KeyTable
from serve.governance.limits.existence import names_of
from serve.governance.limits.reserving import LimitedReservations
from serve.governance.limits.rules import Rules
from serve.governance.limits.rules_in_force import RulesInForce, no_key_limits
from serve.governance.limits.settling import Settlements
from serve.governance.limits.spool import Spool
from serve.governance.limits.store_clock import StoreClock
from serve.governance.limits.upkeep import Upkeep
from serve.governance.reservations import Reservations
from serve.observe.metrics import Metrics
from serve.storage.clock import now_ms
from serve.storage.counting.counters import Counters
from serve.storage.counting.fallback_counters import FallbackCounters
from serve.storage.counting.memory_counters import MemoryCounters
from serve.storage.counting.sql_counters import SqlCounters
from serve.storage.database import Database
from serve.storage.ledger import AlsoEnter, Ledger

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_counted_limits(
    config: Config,
    stores: Stores,
    database: Database,
    metrics: Metrics,
    keys: KeyTable | None,
    *,
    knows_others: bool,
    also: Iterable[AlsoEnter],
) -> AsyncIterator[tuple[Reservations, RulesInForce]]:
    """Open limits and ledger. Arguments and errors as of `serve.composition.limits.open_limits`."""
    rules = RulesInForce(
        config.limits_file,
        lambda: names_of(config, None if keys is None else keys.keys(), knows_others=knows_others),
        key_limits=no_key_limits if keys is None else keys.limits_of,
        on_rules=lambda rules: _count_from_zero(rules, metrics),
    )
    rates = _rates(stores.cache_url, database)
    settlements = Settlements(Ledger(database, tuple(also)), _spool(config))
    reservations = LimitedReservations(
        rules,
        rates=rates,
        budgets=SqlCounters(database),
        settlements=settlements,
        clock=StoreClock(lambda: database.read(now_ms)),
        listener=metrics,
        arm=config.arm or "",
    )
    metrics.attach_limits(lambda: _figures(config, rules, reservations, rates))
    upkeep = Upkeep(reservations)
    await upkeep.start()
    log.info("limits in force", extra={"limits": len(rules.rules.limits)})
    try:
        yield reservations, rules
    finally:
        await upkeep.close()
        await rates.close()


def _rates(cache_url: str | None, database: Database) -> Counters:
    """Counters of rates: a server that replicas share, or this process."""
    if cache_url is not None:
        from serve.storage.counting.valkey_counters import ValkeyCounters  # noqa: PLC0415

        shared = ValkeyCounters(cache_url)
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
    config: Config, rules: RulesInForce, reservations: LimitedReservations, rates: Counters
) -> dict[str, float]:
    """Figures of limits for a scrape."""
    figures: dict[str, float] = {
        "reservations_held": reservations.leases.num_held,
        "usage_spool_requests": reservations.settlements.num_waiting,
    }
    if config.limits_file is not None:
        rules.follow()  # requests do, too: where there are none, a file that is of no use is told
        figures["limits_file_usable"] = rules.is_in_force
    if isinstance(rates, FallbackCounters):
        figures["limits_shared"] = not rates.is_shared_away
    return figures
