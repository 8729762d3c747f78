"""The client's certificate of a TLS connection, put into the scope of each of its requests."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from serve.governance.identity.client_certificate import ClientCertificate

CLIENT_CERTIFICATE: Final = "intramural.client_certificate"
"""Key of the scope. No header can set it: behind a proxy that ends TLS there is none."""


def of_transport(transport: asyncio.BaseTransport) -> ClientCertificate | None:
    """The certificate that TLS has verified on this connection; None without one."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    raw = None if tls is None else tls.getpeercert(binary_form=True)
    return None if raw is None else ClientCertificate.from_der(raw)


def with_certificate(app: ASGIApp, certificate: ClientCertificate) -> ASGIApp:
    """The application, told of the certificate with each request."""

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CLIENT_CERTIFICATE] = certificate
        await app(scope, receive, send)

    return told
