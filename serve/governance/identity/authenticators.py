"""Authenticators: from what a caller shows to a principal, or to a refusal.

A server has a chain of them. Each may know the caller, refuse it, or leave it to the next; whom
nobody knows is refused. No path leads to an empty principal: a defect in here is a refusal, too.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from models.rules.names import quoted
from serve.errors import Forbidden, InvalidApiKey, RequestError
from serve.governance.identity.credentials import Credentials
from serve.governance.identity.key_table import REJECTED, KeyTable
from serve.governance.loopback import is_loopback_host
from serve.governance.principal import ANONYMOUS, Principal

logger = logging.getLogger(__name__)

_SHOWN_CHARS = 60
"""Most characters of a refused host that are repeated in the refusal."""


class Authenticator(Protocol):
    """One way to know a caller."""

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """The caller; None where these are credentials of another kind.

        Raises:
            InvalidApiKey: they are of this kind, and not good.
            Forbidden: such a caller is never let in here.
            Unavailable: what is needed to know it is away.
        """
        ...


class ApiKeys:
    """Knows who shows a key of the table, and leaves all that is no key to the next."""

    def __init__(self, keys: KeyTable) -> None:
        self._keys = keys

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """The key's owner. Raises InvalidApiKey."""
        token = credentials.token
        if token is None or not token.startswith("sk-"):
            return None
        return self._keys.authenticate(token)


class Loopback:
    """Lets in everyone who asks by a loopback name, on a server without keys.

    Without keys a web page could have the user's browser ask a loopback server by a DNS name that
    the page's owner points at 127.0.0.1 (DNS rebinding). Browsers send that name as Host.
    """

    def authenticate(self, credentials: Credentials) -> Principal:
        """The anonymous principal. Raises Forbidden."""
        hosts = credentials.hosts
        if len(hosts) != 1 or not is_loopback_host(hosts[0]):
            asked = quoted(hosts[0][:_SHOWN_CHARS]) if len(hosts) == 1 else f"{len(hosts)} hosts"
            raise Forbidden(
                f"This server has no API keys, so it answers to loopback hosts only: localhost, "
                f"127.0.0.1, [::1]. It was asked by {asked}. Ask it by one of these, or start it "
                "with --api-key-file."
            )
        return ANONYMOUS


def authenticators_for(keys: KeyTable | None) -> tuple[Authenticator, ...]:
    """The chain of a server with these keys, or without any."""
    return (Loopback(),) if keys is None else (ApiKeys(keys),)


def authenticate(chain: Sequence[Authenticator], credentials: Credentials) -> Principal:
    """The caller, as the first authenticator of the chain that knows it says.

    Raises:
        InvalidApiKey: nobody knows the caller, the one who does refuses, or a defect.
        Forbidden: such a caller is never let in here.
        Unavailable: what is needed to know it is away.
    """
    try:
        for authenticator in chain:
            principal = authenticator.authenticate(credentials)
            if principal is not None:
                return principal
        shown = credentials.token
    except RequestError:
        raise
    except Exception as error:  # noqa: BLE001  whatever fails in here lets nobody in
        # Without its text, which may hold what was shown.
        logger.error("authentication failed by a defect: %s", type(error).__name__)  # noqa: TRY400
        raise InvalidApiKey(REJECTED) from None
    if shown is None:
        raise InvalidApiKey("No API key. Send the header 'Authorization: Bearer sk-...'.")
    raise InvalidApiKey(REJECTED)
