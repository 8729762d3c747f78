"""Accounting: limits with the ledger, alerts about it, and its reports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from serve.composition.alerts import open_alerts
from serve.composition.limits import Limits, open_limits
from serve.composition.stores import Stores
from serve.composition.usage import open_usage
from serve.config import Config
from serve.governance.key_table import KeyTable
from serve.governance.usage_reports import UsageReports
from serve.observe.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Limits, and reports of usage; None where no ledger is kept."""

    limits: Limits
    usage: UsageReports | None


@asynccontextmanager
async def open_accounting(
    config: Config, stores: Stores, metrics: Metrics, keys: KeyTable | None
) -> AsyncIterator[Accounting]:
    """Open all of it, in the order in which it depends on each other, until the block ends.

    Raises:
        StartupError: a file of it cannot be used.
    """
    async with (
        open_alerts(config, stores, metrics) as alerts,
        open_limits(
            config,
            stores,
            metrics,
            keys,
            knows_others=config.jwt_file is not None,
            also=alerts,
        ) as limits,
        open_usage(config, time_zone=limits.time_zone, is_kept=limits.rules is not None) as usage,
    ):
        yield Accounting(limits=limits, usage=usage)
