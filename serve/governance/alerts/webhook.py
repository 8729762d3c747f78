"""The webhook: an alert as a signed POST to one pinned address (pinned_http.py).

Of the answer nothing but its status is read.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from serve.governance.alerts.channel import DeliveryError
from serve.governance.alerts.pinned_http import PORTS, PinnedHttp, PostFailed, Target
from serve.governance.alerts.pinning import PinnedHost
from serve.governance.alerts.signature import HEADER, signature

if TYPE_CHECKING:
    from serve.storage.alert_outbox import Outgoing

DELIVERY_HEADER: Final = "x-intramural-delivery"

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)


def parse_url(text: str) -> Target:
    """The parts of a URL, read in one way only.

    Raises:
        ValueError: it has a user, a backslash, a fragment or anything else that two programs might
            read differently. The message does not repeat it.
    """
    match = _URL.fullmatch(text) if len(text) <= 2048 else None
    if match is None or ".." in match["host"]:
        raise ValueError(
            "an address such as https://hooks.example.org/intramural is needed: ASCII, without a "
            "user, a backslash, a space or a number sign"
        )
    port = int(match["port"] or PORTS[match["scheme"]])
    if not 0 < port < 1 << 16:
        raise ValueError("its port is not from 1 to 65535")
    return Target(
        scheme=match["scheme"],
        host=match["host"].strip("[]").lower(),
        port=port,
        path=match["path"] or "/",
    )


class Webhook:
    """Sends alerts to one URL.

    Args:
        pinned: of the target's host.
        context: of TLS; None for plain HTTP.
        clock: Unix seconds, for the signature.
    """

    def __init__(
        self,
        target: Target,
        pinned: PinnedHost,
        *,
        context: ssl.SSLContext | None,
        secret: bytes,
        timeout_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.timeout_s = timeout_s
        self._http = PinnedHttp(target, pinned, context, timeout_s)
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
