"""Posts to a pinned address: what the webhook and witnesses of the audit log are asked by.

No redirect is followed, no proxy and no credentials of the environment are used, and of an answer
no more is read than the caller says. The connection goes to the checked address; TLS and the Host
header have the name, so the certificate must be the name's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from models import plain_file, tls
from models.errors import ModelError
from serve.governance.alerts.pinning import AddressRefused, Network, PinnedHost
from serve.version import server_version

PORTS: Final = {"https": 443, "http": 80}


class PostFailed(Exception):
    """There is no answer. The message is a short reason: no address, and no URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The parts of a URL. ``path`` has the query, too, and may be a secret."""

    scheme: str
    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer's status, and as much of its body as was asked for."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class PinnedHttp:
    """Posts to one target.

    Attributes:
        pinned: of the target's host.
        context: of TLS; None for plain HTTP.
        timeout_s: for all of a post.
    """

    target: Target
    pinned: PinnedHost
    context: ssl.SSLContext | None
    timeout_s: float

    async def post(
        self,
        body: bytes,
        headers: Mapping[str, str],
        *,
        path: str | None = None,
        max_bytes: int = 0,
    ) -> Answer:
        """Post a body.

        Args:
            path: instead of the target's.
            max_bytes: of the answer's body that are read.

        Raises:
            PostFailed: there was no answer in time, or the host may not be reached.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._post(body, headers, path or self.target.path, max_bytes)
        except TimeoutError:
            raise PostFailed(f"no answer within {self.timeout_s:g} s") from None
        except AddressRefused as error:
            raise PostFailed(str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            raise PostFailed(_reason(error)) from None

    async def _post(
        self, body: bytes, headers: Mapping[str, str], path: str, max_bytes: int
    ) -> Answer:
        address = await self.pinned.address()
        context = self.context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
        transport = httpx.AsyncHTTPTransport(verify=context, http2=False, trust_env=False)
        async with httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=self.timeout_s,
        ) as client:
            request = client.build_request(
                "POST",
                f"{self.target.scheme}://{_bracketed(address)}:{self.target.port}{path}",
                content=body,
                headers={**self._headers(), **headers},
                extensions={"sni_hostname": self.target.host},
            )
            answer = await client.send(request, stream=True)
            try:
                read = await _first_bytes(answer, max_bytes) if max_bytes else b""
            finally:
                await answer.aclose()
            return Answer(status=answer.status_code, body=read)

    def _headers(self) -> dict[str, str]:
        host = _bracketed(self.target.host)
        if self.target.port != PORTS[self.target.scheme]:
            host = f"{host}:{self.target.port}"
        return {
            "host": host,
            "accept-encoding": "identity",
            "connection": "close",
            "user-agent": f"intramural/{server_version()}",
        }


def client_context(
    target: Target,
    network: Network,
    *,
    url: str,
    ca_file: Path | None,
    allow_http: bool,
    table: str,
) -> ssl.SSLContext | None:
    """The trust for a target; None for plain HTTP, which is for this machine alone.

    Args:
        table: of the file that names the target, for messages.

    Raises:
        ValueError: it is plain HTTP to another machine, or there are no certificates.
    """
    if target.scheme != "https":
        if allow_http and network.is_loopback:
            return None
        raise ValueError(
            f"{table}.url is not https. Plain HTTP is for a relay on this machine alone: "
            'address = "127.0.0.1" and allow_http = true'
        )
    if ca_file is None:
        try:
            return tls.client_context(url)
        except ModelError as error:
            raise ValueError(str(error).rstrip(".")) from None
    try:
        text = plain_file.read_text(ca_file, tls.MAX_BYTES, may_be_link=True)
        return ssl.create_default_context(cadata=text)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise ValueError(
            f"{table}.ca_file {ca_file} holds no certificates that can be used ({reason})"
        ) from None


async def _first_bytes(answer: httpx.Response, max_bytes: int) -> bytes:
    read = b""
    async for chunk in answer.aiter_raw():
        read += chunk
        if len(read) >= max_bytes:
            break
    return read[:max_bytes]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reason(error: Exception) -> str:
    """The kind of a failure. Not its text: that may name the URL, whose path may be a secret."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "the certificate is not trusted"
    return f"the connection failed ({type(error).__name__})"
