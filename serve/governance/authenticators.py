"""Authenticators: from what a caller shows to a principal, or to a refusal.

A server has a chain of them. Each may know the caller, refuse it, or leave it to the next; whom
nobody knows is refused. No path leads to an empty principal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from models.rules.names import quoted
from serve.errors import Forbidden, InvalidApiKey
from serve.governance.client_certificate import ClientCertificate
from serve.governance.keys import KeyRing
from serve.governance.loopback import is_loopback_host
from serve.governance.principal import ANONYMOUS, Principal

_SHOWN_CHARS = 60
"""Most characters of a refused host that are repeated in the refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Proof that a caller shows, whatever brought it.

    Attributes:
        authorization: each ``Authorization`` header (or metadata entry) that came.
        hosts: each name under which the caller addressed this server (``Host``).
        client_certificate: the one that TLS has verified, where the caller showed one.
    """

    authorization: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    client_certificate: ClientCertificate | None = None


class Authenticator(Protocol):
    """One way to know a caller."""

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """The caller; None where these are credentials of another kind.

        Raises:
            InvalidApiKey: they are of this kind, and not good.
            Forbidden: such a caller is never let in here.
        """
        ...


class ApiKeys:
    """Lets in who shows a key of the ring, and nobody else."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def authenticate(self, credentials: Credentials) -> Principal:
        """The key's owner. Raises InvalidApiKey."""
        given = credentials.authorization
        if len(given) > 1:
            raise InvalidApiKey("The request has more than one Authorization header: send one.")
        return self._keys.authenticate(given[0] if given else None)


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


def authenticators_for(keys: KeyRing | None) -> tuple[Authenticator, ...]:
    """The chain of a server with these keys, or without any."""
    return (Loopback(),) if keys is None else (ApiKeys(keys),)


def authenticate(chain: Sequence[Authenticator], credentials: Credentials) -> Principal:
    """The caller, as the first authenticator of the chain that knows it says.

    Raises:
        InvalidApiKey: nobody knows the caller, or the one who does refuses.
        Forbidden: such a caller is never let in here.
    """
    for authenticator in chain:
        principal = authenticator.authenticate(credentials)
        if principal is not None:
            return principal
    raise InvalidApiKey("No API key. Send the header 'Authorization: Bearer sk-...'.")
