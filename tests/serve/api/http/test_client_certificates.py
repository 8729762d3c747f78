"""Clients that show a certificate: whom TLS takes, and whom the server lets in."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from serve.api.http.certificate_files import CertificateFiles
from serve.api.http.tls import FollowingContext, TlsFiles, server_context
from serve.governance.identity import keys
from tests.certificates import Authority, Issued
from tests.serve.api.house import House, bearer, house
from tests.serve.api.http.test_server import statuses
from tests.serve.api.http.test_tls import NOW, der, shaken
from tests.serve.api.http.tls_site import Site, exchange, on_uvloop, served

MAP = """
[[client]]
name = "gateway"
dns = "gateway.corp.example"
tenant = "ward-3"
scopes = ["infer"]
"""


# Clients' certificates


def a_strangers(authority: Authority) -> Issued:
    folder = authority.file.parent / "strange"
    folder.mkdir()
    return Authority(folder).issue("client")


@pytest.mark.parametrize(
    ("shown", "is_taken"),
    [
        (lambda authority: authority.issue("client"), True),
        (lambda authority: authority.issue("client", ends=timedelta(minutes=-1)), False),
        (lambda authority: authority.issue("client", begins=timedelta(days=1)), False),
        (a_strangers, False),
        (lambda _authority: None, None),
    ],
    ids=["ours", "expired", "not yet", "a stranger's", "none"],
)
@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_may_shake_hands(
    tmp_path: Path,
    shown: Callable[[Authority], Issued | None],
    is_taken: bool | None,
    mode: ssl.VerifyMode,
    version: ssl.TLSVersion,
) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue()
    files = CertificateFiles(
        certificate=issued.chain, key=issued.secret, client_authorities=authority.file
    )
    context, _ = server_context(files, mode, NOW)
    context.maximum_version = version
    certificate = shown(authority)
    if is_taken or (is_taken is None and mode is ssl.CERT_OPTIONAL):
        _, server = shaken(context, authority.client(certificate))
        raw = server.getpeercert(binary_form=True)
        assert raw == (None if certificate is None else der(certificate))
    else:
        with pytest.raises(ssl.SSLError):
            shaken(context, authority.client(certificate))


def test_an_authority_below_the_root_may_be_trusted_alone(tmp_path: Path) -> None:
    root = Authority(tmp_path, "root")
    ours, theirs = Authority(tmp_path, "ours", root), Authority(tmp_path, "theirs", root)
    issued = root.issue()
    files = CertificateFiles(
        certificate=issued.chain, key=issued.secret, client_authorities=ours.file
    )
    context, _ = server_context(files, ssl.CERT_REQUIRED, NOW)
    shaken(context, root.client(ours.issue("client")))
    with pytest.raises(ssl.SSLError):
        shaken(context, root.client(theirs.issue("client")))


def test_a_session_does_not_outlive_the_authority_that_vouched_for_it(
    tmp_path: Path,
) -> None:
    """After an exchange of the authorities a ticket of before is worth nothing."""
    (tmp_path / "old").mkdir()
    authority, old = Authority(tmp_path), Authority(tmp_path / "old", "old")
    issued = authority.issue()
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority.file.read_bytes() + old.file.read_bytes())
    files = TlsFiles(
        CertificateFiles(certificate=issued.chain, key=issued.secret, client_authorities=trusted),
        ssl.CERT_REQUIRED,
    )
    client = authority.client(old.issue("client"))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    session = shaken(FollowingContext.of(files), client)[0].session

    def resume() -> bool | None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = client.wrap_bio(to_client, to_server, False, "127.0.0.1", session)
        theirs = FollowingContext.of(files).wrap_bio(to_server, to_client, server_side=True)
        for _ in range(5):
            for end in (ours, theirs):
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        return ours.session_reused

    assert resume() is True
    trusted.write_bytes(authority.file.read_bytes())
    files.reload()
    with pytest.raises(ssl.SSLError):
        resume()


# Who is let in


@dataclass
class Door:
    """A server with keys and a map, and its port."""

    site: Site
    home: House
    port: int
    key: str

    async def ask(
        self,
        shown: Issued | None,
        *,
        key: str | None = None,
        path: str = "/v1/models",
        headers: Sequence[str] = (),
    ) -> list[int]:
        """The status of a request that needs a caller; empty where TLS itself refuses."""
        auth = () if key is None else (f"Authorization: {bearer(key)['authorization']}",)
        lines = (f"GET {path} HTTP/1.1", "Host: x", *auth, *headers, "Connection: close", "", "")
        request = "\r\n".join(lines)
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            client = self.site.authority.client(shown)
            return statuses(await exchange(self.port, client, request.encode()))
        return []

    def client(self, name: str = "gateway.corp.example", **options: Any) -> Issued:
        return self.site.authority.issue("client", names=[x509.DNSName(name)], **options)


@asynccontextmanager
async def door(site: Site, reqs: int) -> AsyncIterator[Door]:
    path = site.folder / "clients.toml"
    path.write_text(MAP)
    path.chmod(0o600)
    key = keys.create(site.folder / "keys.json")
    home = house(
        keys=site.folder / "keys.json",
        api_key_file=site.folder / "keys.json",
        ssl_ca_certs=site.authority.file,
        ssl_cert_reqs=reqs,
        client_cert_map=path,
        **site.files,
    )
    async with served(home) as port:
        yield Door(site, home, port, key)


async def matrix(at: Door) -> dict[str, list[int]]:
    (at.site.folder / "strange").mkdir()
    strange = Authority(at.site.folder / "strange", "stranger")
    mapped = at.client()
    cases: dict[str, Awaitable[list[int]]] = {
        "mapped": at.ask(mapped),
        "mapped, with a key of another tenant": at.ask(mapped, key=at.key),
        "mapped, with a bad key": at.ask(mapped, key="sk-x"),
        "unmapped": at.ask(at.client("other.corp.example")),
        "unmapped, with a good key": at.ask(at.client("other.corp.example"), key=at.key),
        "expired": at.ask(at.client(ends=timedelta(minutes=-1)), key=at.key),
        "not yet valid": at.ask(at.client(begins=timedelta(days=1)), key=at.key),
        "of another authority": at.ask(
            strange.issue("client", names=[x509.DNSName("gateway.corp.example")]), key=at.key
        ),
        "mapped, beyond its scopes": at.ask(mapped, path="/metrics"),
        "none": at.ask(None),
        "none, with headers of proxies": at.ask(None, headers=TRICKS),
        "none, with a good key": at.ask(None, key=at.key),
    }
    return {name: await case for name, case in cases.items()}


TRICKS = (
    "X-Client-Cert: gateway.corp.example",
    "X-SSL-Client-S-DN: CN=gateway.corp.example",
    "X-Forwarded-Client-Cert: DNS=gateway.corp.example",
    "Ssl-Client-Verify: SUCCESS",
)
OPTIONAL = {
    "mapped": [200],
    "mapped, with a key of another tenant": [403],
    "mapped, with a bad key": [401],
    "unmapped": [403],
    "unmapped, with a good key": [403],
    "expired": [],
    "not yet valid": [],
    "of another authority": [],
    "mapped, beyond its scopes": [403],
    "none": [401],
    "none, with headers of proxies": [401],
    "none, with a good key": [200],
}


@on_uvloop
async def test_the_matrix_where_certificates_may_be_shown(site: Site) -> None:
    async with door(site, 1) as at:
        assert await matrix(at) == OPTIONAL


@on_uvloop
async def test_the_matrix_where_they_must(site: Site) -> None:
    async with door(site, 2) as at:
        found = await matrix(at)
    refused: dict[str, list[int]] = {name: [] for name in OPTIONAL if name.startswith("none")}
    assert found == {**OPTIONAL, **refused}


@on_uvloop
async def test_who_is_taken_out_of_the_map_is_refused_on_open_connections_too(site: Site) -> None:
    async with door(site, 1) as at:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            at.port,
            ssl=site.authority.client(at.client()),
            server_hostname="127.0.0.1",
        )
        found = []
        for text in (MAP, MAP.replace("gateway.corp", "other.corp"), MAP):
            (site.folder / "clients.toml").write_text(text)
            writer.write(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            found += statuses(head)
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
        assert found == [200, 403, 200]
        assert at.home.records.all[-1].key_id == "cert:gateway"
        writer.transport.abort()
