"""Alerts from the settings: what settlements write into the outbox, and who sends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from serve.composition.stores import Stores
from serve.config import Config
from serve.errors import StartupError
from serve.observe.metrics import Metrics

if TYPE_CHECKING:
    from serve.storage.ledger import AlsoEnter

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_alerts(
    config: Config, stores: Stores, metrics: Metrics
) -> AsyncIterator[tuple[AlsoEnter, ...]]:
    """Send alerts while the block is open; yields what the ledger is to do beside settlements.

    Raises:
        StartupError: the alerts file cannot be used, or there are no budgets to tell of.
    """
    if config.alerts_file is None:
        yield ()
        return
    # Only where it is asked for: a start without alerts needs none of their libraries.
    from serve.governance.alerts import alerts_file  # noqa: PLC0415
    from serve.governance.alerts.sender import AlertSender  # noqa: PLC0415
    from serve.governance.alerts.settling import alerting  # noqa: PLC0415

    file = alerts_file.load(config.alerts_file)
    channels = alerts_file.channels_of(config.alerts_file, file)
    if stores.database is None:
        raise StartupError(
            "--alerts-file tells of budgets, and this server keeps none: add --limits-file, or "
            "leave it out."
        )
    metrics.set_alert_channels(channels)
    sender = AlertSender(stores.database, channels, metrics)
    sending = asyncio.create_task(sender.run())
    log.info("alerts are sent", extra={"channels": ", ".join(channels)})
    try:
        yield (alerting(file.thresholds, tuple(channels)),)
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
