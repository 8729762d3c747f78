"""The webhook: an alert as a signed POST to one pinned address.

No redirect is followed, no proxy and no credentials of the environment are used, and of the answer
nothing but its status is read. The connection goes to the checked address; TLS and the Host header
have the name, so the certificate must be the name's.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx

from serve.governance.alerts.channel import DeliveryError
from serve.governance.alerts.pinning import AddressRefused, PinnedHost
from serve.governance.alerts.signature import HEADER, signature
from serve.storage.alert_outbox import Outgoing
from serve.version import server_version

DELIVERY_HEADER: Final = "x-intramural-delivery"
PORTS: Final = {"https": 443, "http": 80}

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The parts of a webhook's URL. ``path`` has the query, too, and may be a secret."""

    scheme: str
    host: str
    port: int
    path: str


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
        self._target = target
        self._pinned = pinned
        self._context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
        self._secret = secret
        self._clock = clock

    async def send(self, outgoing: Outgoing) -> None:
        """Post an alert. Raises DeliveryError unless the answer's status is 2xx."""
        try:
            async with asyncio.timeout(self.timeout_s):
                status = await self._post(outgoing)
        except TimeoutError:
            raise DeliveryError(f"no answer within {self.timeout_s:g} s") from None
        except AddressRefused as error:
            raise DeliveryError(str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            raise DeliveryError(_reason(error)) from None
        if not 200 <= status < 300:
            raise DeliveryError(f"the answer was {status}")

    async def _post(self, outgoing: Outgoing) -> int:
        """The status of the answer, of which nothing else is read."""
        address = await self._pinned.address()
        body = outgoing.payload.encode()
        transport = httpx.AsyncHTTPTransport(verify=self._context, http2=False, trust_env=False)
        async with httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=self.timeout_s,
        ) as client:
            request = client.build_request(
                "POST",
                self._url(address),
                content=body,
                headers=self._headers(body, outgoing.alert_id),
                extensions={"sni_hostname": self._target.host},
            )
            answer = await client.send(request, stream=True)
            await answer.aclose()
            return answer.status_code

    def _url(self, address: str) -> str:
        host = f"[{address}]" if ":" in address else address
        return f"{self._target.scheme}://{host}:{self._target.port}{self._target.path}"

    def _headers(self, body: bytes, alert_id: str) -> dict[str, str]:
        host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
        if self._target.port != PORTS[self._target.scheme]:
            host = f"{host}:{self._target.port}"
        return {
            "host": host,
            "content-type": "application/json",
            "accept-encoding": "identity",
            "connection": "close",
            "user-agent": f"intramural/{server_version()}",
            DELIVERY_HEADER: alert_id,
            HEADER: signature(self._secret, body, int(self._clock())),
        }


def _reason(error: Exception) -> str:
    """The kind of a failure. Not its text: that may name the URL, whose path may be a secret."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "the certificate is not trusted"
    return f"the connection failed ({type(error).__name__})"
