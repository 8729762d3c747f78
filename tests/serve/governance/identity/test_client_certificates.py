"""Who is let in by a certificate, and by a certificate and a key together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serve.errors import Forbidden, InvalidApiKey
from serve.governance.identity.authenticators import Credentials, authenticate
from serve.governance.identity.client_certificate import ClientCertificate, Identity
from serve.governance.identity.client_certificates import CertificatesInTime, ClientCertificates
from serve.governance.identity.client_map import ClientMap
from serve.governance.principal import Principal
from tests.serve.governance.identity.test_client_map import ENTRY, WHOLE, written

NOW = datetime.now(UTC)
GATEWAY: Identity = ("dns", "gateway.corp.example")


def certificate(*identities: Identity, ends: timedelta = timedelta(1)) -> ClientCertificate:
    return ClientCertificate(
        identities=frozenset(identities), not_before=NOW - timedelta(9), not_after=NOW + ends
    )


def shown(*identities: Identity, key: str | None = None, **fields: timedelta) -> Credentials:
    return Credentials(
        authorization=() if key is None else (key,),
        hosts=("llm.corp.example",),
        client_certificate=certificate(*identities, **fields),
    )


class Keys:
    """Knows the owners of keys by the keys themselves."""

    def __init__(self, **owners: Principal) -> None:
        self._owners = owners

    def authenticate(self, credentials: Credentials) -> Principal:
        try:
            return self._owners[credentials.authorization[0]]
        except (KeyError, IndexError):
            raise InvalidApiKey("no") from None


def key_of(tenant: str, owner: str = "", **fields: frozenset[str]) -> Principal:
    return Principal(key_id="k", name="k", tenant=tenant, owner=owner, **fields)  # type: ignore[arg-type]


@pytest.fixture
def clients(tmp_path: Path) -> ClientMap:
    return ClientMap(written(tmp_path, WHOLE))


def test_a_mapped_certificate_is_a_caller(clients: ClientMap) -> None:
    found = ClientCertificates(clients).authenticate(shown(("subject", "CN=x"), GATEWAY))
    assert found is not None
    assert (found.key_id, found.tenant, found.models) == ("cert:gateway", "ward-3", {"demo"})


@pytest.mark.parametrize("key", [None, "good"])
def test_a_certificate_that_is_not_mapped_is_refused_whatever_else_is_shown(
    clients: ClientMap, key: str | None
) -> None:
    by_both = ClientCertificates(clients, [Keys(good=key_of("ward-3"))])
    for identities in ((), (("dns", "x.corp.example"),), (("uri", "gateway.corp.example"),)):
        with pytest.raises(Forbidden, match="no entry of this server's map fit it"):
            by_both.authenticate(shown(*identities, key=key))


def test_one_that_fits_two_entries_is_refused(clients: ClientMap) -> None:
    with pytest.raises(Forbidden, match="2 entries"):
        ClientCertificates(clients).authenticate(
            shown(GATEWAY, ("subject", "CN=prometheus,O=Hospital"))
        )


def test_what_is_taken_out_of_the_map_is_refused_at_once(
    clients: ClientMap, tmp_path: Path
) -> None:
    by_certificate = ClientCertificates(clients)
    assert by_certificate.authenticate(shown(GATEWAY))
    written(tmp_path, ENTRY)
    with pytest.raises(Forbidden):
        by_certificate.authenticate(shown(GATEWAY))


def test_a_connection_does_not_outlive_its_certificate(clients: ClientMap) -> None:
    now = [NOW]
    by_certificate = ClientCertificates(clients, wall_clock=lambda: now[0])
    held = shown(GATEWAY, ends=timedelta(minutes=5))
    assert by_certificate.authenticate(held)
    now[0] += timedelta(minutes=5)
    with pytest.raises(InvalidApiKey, match="has expired"):
        by_certificate.authenticate(held)


def test_without_one_the_next_is_asked_and_where_there_is_none_nobody_gets_in(
    clients: ClientMap,
) -> None:
    keys = Keys(good=key_of("t"))
    chain = (ClientCertificates(clients, [keys]), keys)
    assert authenticate(chain, Credentials(authorization=("good",))).tenant == "t"
    with pytest.raises(InvalidApiKey):
        authenticate(chain, Credentials(authorization=("bad",)))
    for nothing in (Credentials(), Credentials(hosts=("localhost",))):
        with pytest.raises(InvalidApiKey, match="No client certificate"):
            authenticate((ClientCertificates(clients),), nothing)


@pytest.mark.parametrize(
    ("key", "scopes", "models", "owner"),
    [
        (key_of("ward-3"), {"infer", "batch"}, {"demo"}, "gateway"),
        (key_of("ward-3", "gateway"), {"infer", "batch"}, {"demo"}, "gateway"),
        (
            key_of("ward-3", scopes=frozenset({"infer", "admin"}), models=frozenset({"x"})),
            {"infer"},
            set(),
            "gateway",
        ),
        (
            key_of("ward-3", models=frozenset({"demo", "x"})),
            {"infer", "batch"},
            {"demo"},
            "gateway",
        ),
    ],
)
def test_both_together_may_do_what_both_may(
    clients: ClientMap, key: Principal, scopes: set[str], models: set[str], owner: str
) -> None:
    by_both = ClientCertificates(clients, [Keys(good=key)])
    found = by_both.authenticate(shown(GATEWAY, key="good"))
    assert found is not None
    assert (found.key_id, found.scopes, found.models) == ("k", scopes, models)
    assert found.owner == owner


@pytest.mark.parametrize("key", [key_of("ward-4"), key_of("ward-3", "somebody")])
def test_two_that_contradict_each_other_are_refused(clients: ClientMap, key: Principal) -> None:
    by_both = ClientCertificates(clients, [Keys(good=key)])
    with pytest.raises(Forbidden, match="different tenants or users"):
        by_both.authenticate(shown(GATEWAY, key="good"))


def test_a_bad_key_is_not_made_good_by_a_certificate(clients: ClientMap) -> None:
    by_both = ClientCertificates(clients, [Keys(good=key_of("ward-3"))])
    with pytest.raises(InvalidApiKey):
        by_both.authenticate(shown(GATEWAY, key="bad"))
    assert by_both.authenticate(shown(GATEWAY)) is not None


def test_without_a_map_a_certificate_ends_on_open_connections_too() -> None:
    """A resumed session has no whole handshake, in which TLS would see it."""
    in_time = CertificatesInTime(wall_clock=lambda: NOW + timedelta(2))
    for known in (Credentials(), shown(GATEWAY, ends=timedelta(3))):
        in_time.authenticate(known)
    with pytest.raises(InvalidApiKey, match="has expired"):
        in_time.authenticate(shown(GATEWAY, key="good"))
