"""The names of a client's certificate."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from serve.governance.identity.client_certificate import (
    ClientCertificate,
    IdentityKind,
    normal_identity,
)
from tests.certificates import Authority


def test_subject_and_alternative_names_are_identities(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue(
        subject=x509.Name.from_rfc4514_string("CN=gateway,OU=ward 3,O=Hospital"),
        names=[
            x509.DNSName("Gateway.corp.example"),
            x509.UniformResourceIdentifier("spiffe://corp.example/Ward-3"),
            x509.RFC822Name("Ops@corp.example"),
        ],
    )
    found = ClientCertificate.from_der(issued.certificate.public_bytes(Encoding.DER))
    assert found.identities == {
        ("subject", "CN=gateway,OU=ward 3,O=Hospital"),
        ("dns", "gateway.corp.example"),
        ("uri", "spiffe://corp.example/Ward-3"),
        ("email", "Ops@corp.example"),
    }
    assert found.not_before < found.not_after


def test_a_common_name_is_no_host(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue("gateway.corp.example", names=[])
    found = ClientCertificate.from_der(issued.certificate.public_bytes(Encoding.DER))
    assert found.identities == {("subject", "CN=gateway.corp.example")}


def test_a_certificate_without_a_subject_has_none(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue(subject=x509.Name([]), names=[x509.DNSName("a.example")])
    found = ClientCertificate.from_der(issued.certificate.public_bytes(Encoding.DER))
    assert found.identities == {("dns", "a.example")}


@pytest.mark.parametrize("raw", [b"", b"\x30\x00", b"x" * 99])
def test_what_cannot_be_read_is_nobody_and_was_never_valid(raw: bytes) -> None:
    found = ClientCertificate.from_der(raw)
    assert (found.identities, found.not_before) == (frozenset(), found.not_after)


def test_an_operator_may_write_a_subject_in_any_form_of_rfc_4514() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A, B"),
            x509.NameAttribute(NameOID.COMMON_NAME, "c"),
        ]
    )
    assert normal_identity("subject", r"CN=c,O=A\, B") == ("subject", name.rfc4514_string())
    assert normal_identity("subject", r"CN=c,O=A\2c B") == ("subject", name.rfc4514_string())
    assert normal_identity("dns", "A.Example") == ("dns", "a.example")
    for text in ("", " ", "no equals sign", "CN"):
        with pytest.raises(ValueError):
            normal_identity("subject", text)


@pytest.mark.parametrize("name", ["a303300102", "a5050c03 656469".replace(" ", "")])
def test_names_of_a_kind_that_the_parser_does_not_know_leave_nobody(
    tmp_path: Path, name: str
) -> None:
    """An X.400 address and an EDI party: authorities sign such, and each was a crash."""
    authority = Authority(tmp_path)
    raw = bytes.fromhex(name)
    names = x509.UnrecognizedExtension(
        x509.SubjectAlternativeName.oid, bytes([0x30, len(raw)]) + raw
    )
    builder = x509.CertificateBuilder(
        authority.subject, authority.subject, authority.key.public_key(), 1
    )
    certificate = (
        builder.not_valid_before(authority.certificate.not_valid_before_utc)
        .not_valid_after(authority.certificate.not_valid_after_utc)
        .add_extension(names, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    found = ClientCertificate.from_der(certificate.public_bytes(Encoding.DER))
    assert (found.identities, found.not_before < found.not_after) == (frozenset(), True)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("emailAddress=a@b.example,CN=x", "1.2.840.113549.1.9.1=a@b.example,CN=x"),
        ("serialNumber=5,CN=x", "2.5.4.5=5,CN=x"),
        ("CN=J\\C3\\BCrgen", "CN=J\N{LATIN SMALL LETTER U WITH DIAERESIS}rgen"),
    ],
)
def test_a_subject_may_be_written_as_openssl_prints_it(written: str, found: str) -> None:
    assert normal_identity("subject", written) == ("subject", found)


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("subject", "/CN=x/O=y", "openssl x509 -noout -subject -nameopt RFC2253"),
        ("subject", "CN=a, O=b", "RFC 4514"),
        ("dns", "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", "is not ASCII"),
        ("dns", " gateway", "without spaces"),
        ("uri", "spiffe://a b", "without spaces"),
    ],
)
def test_a_name_that_no_certificate_has_is_refused(
    kind: IdentityKind, text: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        normal_identity(kind, text)
