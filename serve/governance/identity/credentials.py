"""Credentials: what a caller shows, and the one token in it.

A token comes as ``Authorization: Bearer`` (RFC 6750, section 2.1) or in ``x-api-key``, as clients
of Anthropic's dialect send it. Both may come if they are the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from serve.errors import InvalidApiKey
from serve.governance.identity.client_certificate import ClientCertificate

MAX_TOKEN_CHARS = 8192
"""A signed token of an identity provider has one to four thousand."""

_BEARER = re.compile(r"(?i:bearer) +([!-~]+)")
_TOKEN = re.compile(r"[!-~]+")
_UNREADABLE = (
    "The credential is not valid. Send one header 'Authorization: Bearer ...' with a key (sk-...) "
    f"or a token of at most {MAX_TOKEN_CHARS} characters."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Proof that a caller shows, whatever brought it.

    Attributes:
        authorization: each ``Authorization`` header (or metadata entry) that came.
        api_keys: each ``x-api-key`` header that came.
        hosts: each name under which the caller addressed this server (``Host``).
        client_certificate: the one that TLS has verified, where the caller showed one.
    """

    authorization: tuple[str, ...] = ()
    api_keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    client_certificate: ClientCertificate | None = None

    @property
    def token(self) -> str | None:
        """The key or token that is shown; None where no header came.

        Raises:
            InvalidApiKey: more than one, of another scheme, or no token by its form.
        """
        if len(self.authorization) > 1:
            raise InvalidApiKey("The request has more than one Authorization header: send one.")
        if len(self.api_keys) > 1:
            raise InvalidApiKey("The request has more than one x-api-key header: send one.")
        given = {
            *(_plain(header, _BEARER) for header in self.authorization),
            *(_plain(header, _TOKEN) for header in self.api_keys),
        }
        if len(given) > 1:
            raise InvalidApiKey(
                "Authorization and x-api-key have different keys: send one of them."
            )
        return next(iter(given), None)


def _plain(header: str, form: re.Pattern[str]) -> str:
    match = form.fullmatch(header) if len(header) <= MAX_TOKEN_CHARS else None
    if match is None:
        raise InvalidApiKey(_UNREADABLE)
    return match[match.lastindex or 0]
