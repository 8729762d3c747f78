"""The sender: takes alerts from the outbox and delivers them, until each is taken or given up.

Delivery is at least once: a sender that dies between the receiver's answer and its own note of it
sends the alert again, with the same id. Tries of one alert come after 5 s, 10 s, 20 s, ... up to an
hour, so that none is tried more than MAX_TRIES_PER_DAY times a day; after a failure the whole
channel rests, too, up to MAX_REST_S, so that a receiver that is away is not asked once for each
alert that waits.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from serve import timeline
from serve.governance.alerts.channel import Channel, DeliveryError
from serve.storage import alert_outbox
from serve.storage.alert_outbox import Outgoing
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.database import Database

log = logging.getLogger(__name__)

POLL_S: Final = 5.0
TIDY_EVERY: Final = 720
"""Rounds: an hour."""
FIRST_RETRY_S: Final = 5.0
MAX_RETRY_S: Final = 3600.0
MAX_REST_S: Final = 600.0
JITTER: Final = 0.2
MAX_TRIES_PER_DAY: Final = 42
MAX_ROUND: Final = 32
"""Alerts of one channel in one round."""
CLAIM_MARGIN_S: Final = 60.0


class AlertListener(Protocol):
    """A listener of what becomes of alerts (serve.observe.metrics.Metrics)."""

    def alert_tried(self, channel: str, *, is_taken: bool) -> None: ...

    def alerts_given_up(self, num_alerts: int) -> None: ...

    def alerts_pending(self, num_alerts: int) -> None: ...


class AlertSender:
    """Delivers the outbox's alerts by its channels.

    Args:
        channels: by their names, which are the outbox's.
        draw: a number from 0 to 1, for the jitter.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, Channel],
        listener: AlertListener,
        *,
        draw: Callable[[], float] = random.random,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self._database = database
        self._channels = channels
        self._listener = listener
        self._draw = draw
        self._clock = clock
        self._num_failures = dict.fromkeys(channels, 0)
        self._rests_until = dict.fromkeys(channels, 0.0)

    async def run(self) -> None:
        """Send until cancelled."""
        was_away = False
        rounds = 0
        while True:
            try:
                if rounds % TIDY_EVERY == 0:
                    await self.tidy()
                await self.send_due()
                was_away = False
                rounds += 1
            except StoreUnavailable:
                if not was_away:
                    log.warning("alerts wait: the database does not answer")
                was_away = True
            except Exception as error:  # noqa: BLE001  a defect must not silence all later alerts
                log.error(  # noqa: TRY400  no traceback: frames may hold the webhook's secret
                    "alerts were not sent: a defect", extra={"error": type(error).__name__}
                )
            await asyncio.sleep(POLL_S)

    async def send_due(self) -> None:
        """Try what is due now, each channel by itself.

        Raises:
            StoreUnavailable: the outbox cannot be read or written. What was sent may be sent again.
        """
        async with asyncio.TaskGroup() as rounds:
            for name, channel in self._channels.items():
                rounds.create_task(self._quietly(name, channel))
        self._listener.alerts_pending(await self._database.read(alert_outbox.num_pending))

    async def tidy(self) -> None:
        """Give up what nobody took in time, and forget old alerts. Raises StoreUnavailable."""
        given_up = await self._database.write(alert_outbox.tidy)
        if given_up:
            log.error("alerts were given up: nobody took them", extra={"num_alerts": given_up})
            self._listener.alerts_given_up(given_up)

    async def _quietly(self, name: str, channel: Channel) -> None:
        """One channel's round. A store that is away is found by the other reads, too."""
        try:
            await self._round(name, channel)
        except StoreUnavailable:
            log.debug("the outbox is away", extra={"channel": name})

    async def _round(self, name: str, channel: Channel) -> None:
        claim_ms = int((channel.timeout_s + CLAIM_MARGIN_S) * 1000)
        for _ in range(MAX_ROUND):
            if self._clock() < self._rests_until[name]:
                return
            if not await self._database.read(lambda c: alert_outbox.is_any_due(c, name)):
                return
            for outgoing in await self._database.write(
                lambda c: alert_outbox.claim(c, name, limit=1, claim_ms=claim_ms)
            ):
                await self._try(name, channel, outgoing)

    async def _try(self, name: str, channel: Channel, outgoing: Outgoing) -> None:
        try:
            await channel.send(outgoing)
        except DeliveryError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001  one alert's defect must not end the sender
            reason = f"a defect ({type(error).__name__})"
        else:
            self._num_failures[name] = 0
            self._listener.alert_tried(name, is_taken=True)
            await self._database.write(lambda c: alert_outbox.taken(c, outgoing))
            return
        self._num_failures[name] += 1
        rest_s = min(MAX_REST_S, retry_s(self._num_failures[name], self._draw()))
        self._rests_until[name] = self._clock() + rest_s
        self._listener.alert_tried(name, is_taken=False)
        retry_ms = int(retry_s(outgoing.num_tries, self._draw()) * 1000)
        log.warning(
            "an alert was not taken",
            extra={
                "alert": outgoing.alert_id,
                "reason": reason,
                "num_tries": outgoing.num_tries,
                "retry_in_s": retry_ms // 1000,
            },
        )
        await self._database.write(lambda c: alert_outbox.failed(c, outgoing, retry_in_ms=retry_ms))


def retry_s(num_tries: int, drawn: float) -> float:
    """Seconds until the next try, after so many: doubling, bounded, and spread by the drawing.

    Args:
        drawn: from 0 to 1.
    """
    whole = min(MAX_RETRY_S, FIRST_RETRY_S * 2.0 ** min(num_tries - 1, 30))
    return whole * (1 + JITTER * (2 * drawn - 1))
