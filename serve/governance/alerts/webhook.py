"""The webhook: an alert as a signed POST to one pinned address (pinned_http.py).

Of the answer nothing but its status is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from serve.governance.alerts.channel import DeliveryError
from serve.governance.alerts.pinned_http import PinnedHttp, PostFailed
from serve.governance.alerts.signature import HEADER, signature

if TYPE_CHECKING:
    from serve.storage.alert_outbox import Outgoing

DELIVERY_HEADER: Final = "x-intramural-delivery"


class Webhook:
    """Sends alerts to one URL.

    Args:
        http: the way to it.
        secret: that signs.
        clock: Unix seconds, for the signature.
    """

    def __init__(
        self,
        http: PinnedHttp,
        *,
        secret: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.timeout_s = http.timeout_s
        self._http = http
        self._secret = secret
        self._clock = clock

    async def send(self, outgoing: Outgoing) -> None:
        """Post an alert. Raises DeliveryError unless the answer's status is 2xx."""
        body = outgoing.payload.encode()
        headers = {
            "content-type": "application/json",
            DELIVERY_HEADER: outgoing.alert_id,
            HEADER: signature(self._secret, body, int(self._clock())),
        }
        try:
            answer = await self._http.post(body, headers)
        except PostFailed as error:
            raise DeliveryError(str(error)) from None
        if not 200 <= answer.status < 300:
            raise DeliveryError(f"the answer was {answer.status}")
