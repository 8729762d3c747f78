"""TLS as a scanner sees it, and the exchange of certificates. In memory: no sockets, no waiting."""

from __future__ import annotations

import logging
import shutil
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from serve.api.http import tls
from serve.api.http.certificate_files import CertificateFiles
from serve.api.http.tls import FollowingContext, TlsFiles, server_context
from serve.errors import StartupError
from tests.certificates import Authority, Issued

NOW = datetime.now(UTC)
ECDSA = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
}


def files_of(issued: Issued) -> CertificateFiles:
    return CertificateFiles(certificate=issued.chain, key=issued.secret)


def shaken(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after a handshake. Raises what either of them raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_side=False, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    undone = set(ends)
    for _ in range(10):
        for end in ends:
            try:
                end.do_handshake()
                undone.discard(end)
            except ssl.SSLWantReadError:
                pass
        if not undone:
            return ends[0], ends[1]
    raise AssertionError("the handshake has no end")


def any_client() -> ssl.SSLContext:
    """A client that takes whatever there is."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return client


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", list(ssl.TLSVersion)[1:-1])
def test_only_new_versions_are_spoken(tmp_path: Path, version: ssl.TLSVersion) -> None:
    server, _ = server_context(files_of(Authority(tmp_path).issue()), ssl.CERT_NONE, NOW)
    client = any_client()
    try:
        client.minimum_version = client.maximum_version = version
    except ValueError:
        pytest.skip(f"this OpenSSL has no {version.name} to ask with")
    if version in {ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3}:
        end, _ = shaken(server, client)
        assert end.version() == version.name.replace("_", ".")
    else:
        with pytest.raises(ssl.SSLError, match=r"unsupported protocol|no protocols|version"):
            shaken(server, client)


@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
def test_only_authenticated_ciphers_with_forward_secrecy_are_taken(
    tmp_path: Path, kind: str
) -> None:
    """Each cipher that OpenSSL has is offered alone, as scanners do."""
    make = {
        "ecdsa": lambda: None,
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    issued = Authority(tmp_path).issue(key=make[kind]())
    server, _ = server_context(files_of(issued), ssl.CERT_NONE, NOW)
    taken, refused = set(), set()
    for cipher in any_client().get_ciphers():
        client = any_client()
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        if "TLSv1.3" in cipher["protocol"]:
            continue
        client.set_ciphers(f"{cipher['name']}:@SECLEVEL=0")
        try:
            end, _ = shaken(server, client)
        except ssl.SSLError:
            refused.add(cipher["name"])
        else:
            taken.add(end.cipher()[0])  # type: ignore[index]
    assert taken == ({name.replace("ECDSA", "RSA") for name in ECDSA} if kind == "rsa" else ECDSA)
    assert len(refused) > 50


def test_the_rest_of_what_scanners_ask(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context, _ = server_context(files_of(authority.issue()), ssl.CERT_NONE, NOW)
    for option in (
        ssl.OP_NO_COMPRESSION,
        ssl.OP_NO_RENEGOTIATION,
        ssl.OP_CIPHER_SERVER_PREFERENCE,
    ):
        assert context.options & option
    for protocols, chosen in (
        ([], None),
        (["http/1.1"], "http/1.1"),
        (["h2", "http/1.1"], "http/1.1"),
        (["h2"], None),
    ):
        client = authority.client()
        if protocols:
            client.set_alpn_protocols(protocols)
        end, other = shaken(context, client)
        assert (end.compression(), other.compression()) == (None, None)
        assert end.selected_alpn_protocol() == chosen


def test_refused_handshakes_are_counted_through_an_exchange(
    tmp_path: Path, place: CertificateFiles
) -> None:
    authority = Authority(tmp_path)
    put(authority.issue(), place)
    files = TlsFiles(place)
    context = FollowingContext.of(files)
    old = any_client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("AES128-SHA:@SECLEVEL=0")
    for number in (1, 2):
        with pytest.raises(ssl.SSLError):
            shaken(context, old)
        shaken(context, authority.client())
        assert files.num_refused == number
        files.reload()


def test_weak_keys_are_refused_at_the_start(tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue(key=rsa.generate_private_key(65537, 1024))
    with pytest.raises(StartupError, match="refused by OpenSSL: ee key too small"):
        server_context(files_of(issued), ssl.CERT_NONE, NOW)


# Exchange


@dataclass
class Clock:
    seconds: float = 0.0
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return self.moment + timedelta(seconds=self.seconds)


@pytest.fixture
def place(tmp_path: Path) -> CertificateFiles:
    (tmp_path / "tls").mkdir()
    return CertificateFiles(
        certificate=tmp_path / "tls" / "tls.crt", key=tmp_path / "tls" / "tls.key"
    )


def put(issued: Issued, place: CertificateFiles) -> None:
    """Both files, each replaced in one step."""
    for source, target in ((issued.chain, place.certificate), (issued.secret, place.key)):
        staged = target.with_suffix(".new")
        shutil.copy(source, staged)
        staged.replace(target)


def served_by(files: TlsFiles, authority: Authority) -> bytes | None:
    end, _ = shaken(FollowingContext.of(files), authority.client())
    return end.getpeercert(binary_form=True)


def der(issued: Issued) -> bytes:
    return ssl.PEM_cert_to_DER_cert(issued.pem.decode())


def test_new_connections_get_the_new_certificate_and_old_ones_keep_theirs(
    tmp_path: Path, place: CertificateFiles
) -> None:
    authority, clock = Authority(tmp_path), Clock()
    first, second = authority.issue("first"), authority.issue("second")
    put(first, place)
    files = TlsFiles(place, clock=clock, wall_clock=clock.wall)
    context = FollowingContext.of(files)
    ours, theirs = shaken(context, authority.client())
    put(second, place)
    assert served_by(files, authority) == der(first), "looked at once a second"
    clock.seconds += 1
    assert served_by(files, authority) == der(second)
    theirs.write(b"still the first")
    assert ours.getpeercert(binary_form=True) == der(first)
    assert theirs.context is not files.context()


def test_a_broken_pair_is_logged_once_and_the_old_one_stays(
    tmp_path: Path, place: CertificateFiles, caplog: pytest.LogCaptureFixture
) -> None:
    authority, clock = Authority(tmp_path), Clock()
    first, second = authority.issue("first"), authority.issue("second")
    put(first, place)
    files = TlsFiles(place, clock=clock, wall_clock=clock.wall)
    place.certificate.write_bytes(second.chain.read_bytes())
    for _ in range(200):
        clock.seconds += 1
        assert served_by(files, authority) == der(first)
    assert not files.is_in_force
    (error,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "those known stay in force" in error.message
    assert "is not the key of" in error.message
    place.key.write_bytes(second.secret.read_bytes())
    clock.seconds += 1
    assert files.is_in_force
    assert served_by(files, authority) == der(second)


def test_files_that_are_away_for_a_while_change_nothing(
    tmp_path: Path, place: CertificateFiles
) -> None:
    authority, clock = Authority(tmp_path), Clock()
    issued = authority.issue()
    put(issued, place)
    files = TlsFiles(place, clock=clock, wall_clock=clock.wall)
    place.key.unlink()
    clock.seconds += 1
    assert not files.is_in_force
    assert served_by(files, authority) == der(issued)
    put(issued, place)
    clock.seconds += 1
    assert files.is_in_force


def test_a_certificate_that_begins_later_is_taken_when_it_has_begun(
    tmp_path: Path, place: CertificateFiles
) -> None:
    authority, clock = Authority(tmp_path), Clock()
    first, later = authority.issue("first"), authority.issue("later", begins=timedelta(minutes=9))
    put(first, place)
    files = TlsFiles(place, clock=clock, wall_clock=clock.wall)
    put(later, place)
    for _ in range(10):
        clock.seconds += 61
        found = files.context(), files.is_in_force
    assert found[1], "the file has not changed since, and is looked at again"
    assert files.not_before == later.certificate.not_valid_before_utc.timestamp()


def test_a_volume_of_kubernetes_is_exchanged_by_one_link(tmp_path: Path) -> None:
    """The kubelet makes a folder with the new files and turns ``..data`` to it."""
    authority, clock = Authority(tmp_path), Clock()
    volume = tmp_path / "volume"
    volume.mkdir()
    issued = [authority.issue(name) for name in ("first", "second")]
    for number, each in enumerate(issued):
        folder = volume / f"..{number}"
        folder.mkdir()
        put(each, CertificateFiles(certificate=folder / "tls.crt", key=folder / "tls.key"))
    (volume / "..data").symlink_to("..0")
    for name in ("tls.crt", "tls.key"):
        (volume / name).symlink_to(Path("..data") / name)
    place = CertificateFiles(certificate=volume / "tls.crt", key=volume / "tls.key")
    files = TlsFiles(place, clock=clock, wall_clock=clock.wall)
    (volume / "..new").symlink_to("..1")
    (volume / "..new").replace(volume / "..data")
    clock.seconds += 1
    assert served_by(files, authority) == der(issued[1])


def test_files_that_change_while_they_are_read_are_read_again(
    tmp_path: Path, place: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    first, second = authority.issue("first"), authority.issue("second")
    put(first, place)
    read = tls.read_certificate
    reads: list[int] = []

    def overtaken(*arguments: object) -> object:
        found = read(*arguments)  # type: ignore[arg-type]
        reads.append(1)
        if len(reads) == 1:
            put(second, place)
        return found

    monkeypatch.setattr(tls, "read_certificate", overtaken)
    _, found = server_context(place, ssl.CERT_NONE, NOW)
    assert (found.chain, len(reads)) == ((second.certificate,), 2)
    monkeypatch.setattr(tls, "read_certificate", lambda *a: (put(first, place), read(*a))[1])
    with pytest.raises(StartupError, match="again and again"):
        server_context(place, ssl.CERT_NONE, NOW)


@pytest.mark.parametrize(
    ("life", "soon"), [(timedelta(days=365), timedelta(days=14)), (timedelta(hours=25), None)]
)
def test_the_end_of_a_certificate_is_told_before_and_at_it(
    tmp_path: Path,
    place: CertificateFiles,
    caplog: pytest.LogCaptureFixture,
    life: timedelta,
    soon: timedelta | None,
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    put(Authority(tmp_path).issue(ends=life), place)
    files = TlsFiles(place, clock=clock, wall_clock=clock.wall)
    soon = soon or (life + timedelta(hours=1)) / 5

    def told(before_the_end: timedelta) -> list[str]:
        clock.seconds = (life - before_the_end).total_seconds()
        assert files.not_after == pytest.approx((clock.moment + life).timestamp(), abs=60)
        return [record.levelname for record in caplog.records]

    assert told(soon + timedelta(minutes=5)) == []
    assert told(soon - timedelta(minutes=5)) == ["WARNING"]
    assert told(timedelta(minutes=5)) == ["WARNING"]
    assert told(-timedelta(minutes=5)) == ["WARNING", "ERROR"]
    assert told(-timedelta(minutes=9)) == ["WARNING", "ERROR"]


def test_a_hangup_reads_the_files_at_once(tmp_path: Path, place: CertificateFiles) -> None:
    authority, clock = Authority(tmp_path), Clock()
    put(authority.issue("first"), place)
    files = TlsFiles(place, clock=clock, wall_clock=clock.wall)
    second = authority.issue("second")
    put(second, place)
    files.reload()
    assert served_by(files, authority) == der(second)
