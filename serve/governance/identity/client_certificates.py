"""The authenticator of callers that show a certificate (mTLS). ADR 0046 gives the reasons.

=============================  ==================================================================
shown                          the caller
=============================  ==================================================================
a certificate of the map       the map's principal
a certificate that is not      nobody, 403, whatever else is shown
a certificate and a key        the key's owner, with the rights that both have; 403 where the two
                               are of different tenants or owners; 401 where the key is not good
no certificate                 left to the next authenticator
=============================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from serve.errors import Forbidden, InvalidApiKey
from serve.governance.identity.authenticators import Authenticator, authenticate
from serve.governance.identity.client_certificate import ClientCertificate
from serve.governance.identity.client_map import ClientMap
from serve.governance.identity.credentials import Credentials
from serve.governance.principal import Principal


class CertificatesInTime:
    """Refuses who shows a certificate whose time is over, and leaves all else to the next.

    For a server without a map: TLS looks at a certificate's end in a whole handshake alone, and
    neither on an open connection nor where a client resumes its session.
    """

    def __init__(self, *, wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._wall_clock = wall_clock

    def authenticate(self, credentials: Credentials) -> None:
        """Know nobody. Raises InvalidApiKey where the certificate is not valid now."""
        if credentials.client_certificate is not None:
            _check_time(credentials.client_certificate, self._wall_clock())


class ClientCertificates:
    """Lets in who shows a certificate of the map.

    Args:
        clients: whose certificate is whose.
        others: the authenticators of what may be shown beside a certificate.
        wall_clock: for validity: a connection may outlive the certificate that opened it.
    """

    def __init__(
        self,
        clients: ClientMap,
        others: Sequence[Authenticator] = (),
        *,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clients = clients
        self._others = others
        self._wall_clock = wall_clock

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """The caller; None without a certificate, where there are other ways in.

        Raises:
            InvalidApiKey: the certificate has expired, is the only way in and not shown, or what
                was shown beside it is not good.
            Forbidden: the certificate is nobody's, or contradicts what was shown beside it.
        """
        shown = credentials.client_certificate
        if shown is None:
            if not self._others:
                raise InvalidApiKey(
                    "No client certificate. This server knows its callers by one: show it in the "
                    "TLS handshake."
                )
            return None
        owner = self._owner_of(shown)
        beside = replace(credentials, client_certificate=None)
        if not self._others or replace(beside, hosts=()) == Credentials():
            return owner
        return _both(owner, authenticate(self._others, beside))

    def _owner_of(self, shown: ClientCertificate) -> Principal:
        _check_time(shown, self._wall_clock())
        principals = self._clients.principals()
        found = {principals[each] for each in shown.identities if each in principals}
        if len(found) != 1:
            count = "no entry" if not found else f"{len(found)} entries"
            raise Forbidden(
                f"The client certificate is valid, and {count} of this server's map fit it: it "
                "must be exactly one. Ask the operator."
            )
        return found.pop()


def _check_time(shown: ClientCertificate, now: datetime) -> None:
    if not shown.not_before <= now < shown.not_after:
        raise InvalidApiKey(
            "The client certificate is not valid now: it has expired, or begins later. Connect "
            "anew with one that is."
        )


def _both(certificate: Principal, key: Principal) -> Principal:
    """The key's owner with the rights that both have: neither widens the other.

    Raises:
        Forbidden: they are of different tenants, or of different users.
    """
    is_other_owner = certificate.owner and key.owner and certificate.owner != key.owner
    if certificate.tenant != key.tenant or is_other_owner:
        raise Forbidden(
            "The client certificate and the API key belong to different tenants or users: send "
            "one of them, or two that belong together."
        )
    models = certificate.models if key.models is None else key.models
    if certificate.models is not None and key.models is not None:
        models = certificate.models & key.models
    return replace(
        key,
        owner=key.owner or certificate.owner,
        scopes=key.scopes & certificate.scopes,
        models=models,
    )
