"""A client's certificate, as far as it says who the client is.

TLS has verified by then that one of the server's authorities issued it, and that the client holds
its key. A name counts only where it is the certificate's own: the whole subject, or a subject
alternative name (RFC 5280, section 4.2.1.6); a common name is no host's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Self

from cryptography import x509
from cryptography.x509.oid import NameOID

IdentityKind = Literal["subject", "dns", "uri", "email"]
Identity = tuple[IdentityKind, str]
"""One name of a certificate, and of which kind."""
_PLAIN: Final = re.compile(r"[!-~]+")
_OPENSSL_NAMES: Final = {
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "SN": NameOID.SURNAME,
    "GN": NameOID.GIVEN_NAME,
    "title": NameOID.TITLE,
    "street": NameOID.STREET_ADDRESS,
    "postalCode": NameOID.POSTAL_CODE,
    "businessCategory": NameOID.BUSINESS_CATEGORY,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
}
"""Attributes that openssl prints by names which RFC 4514 does not have."""
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
)
"""The parser's errors: they have no ancestor of their own."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A verified client's certificate.

    Attributes:
        identities: its names: the subject as RFC 4514 has it, DNS names in lower case, URIs,
            addresses of mail.
        not_before: with a time zone, as ``not_after``.
    """

    identities: frozenset[Identity]
    not_before: datetime
    not_after: datetime

    @classmethod
    def from_der(cls, raw: bytes) -> Self:
        """Read one.

        Names of which one cannot be read are none; what is no certificate was never valid.
        """
        try:
            certificate = x509.load_der_x509_certificate(raw)
            begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        except _UNREADABLE:
            return cls(identities=frozenset(), not_before=_NEVER, not_after=_NEVER)
        try:
            identities = _names(certificate)
        except _UNREADABLE:
            identities = frozenset()
        return cls(identities=identities, not_before=begin, not_after=end)


def normal_identity(kind: IdentityKind, text: str) -> Identity:
    """A name as it was written by an operator, in the form that it has in a certificate.

    Raises:
        ValueError: no certificate has such a name.
    """
    if not text.strip():
        raise ValueError(f"{kind} is empty")
    if kind == "subject":
        try:
            return kind, x509.Name.from_rfc4514_string(text, _OPENSSL_NAMES).rfc4514_string()
        except ValueError:
            raise ValueError(
                f"subject {text!r} is no name as RFC 4514 has it, such as 'CN=prometheus,"
                "O=Hospital'; `openssl x509 -noout -subject -nameopt RFC2253 -in FILE` prints it"
            ) from None
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"{kind} {text!r} is not ASCII without spaces, as certificates have it")
    return kind, text.lower() if kind == "dns" else text


def _names(certificate: x509.Certificate) -> frozenset[Identity]:
    found = _alternative_names(certificate)
    if list(certificate.subject):
        found.add(("subject", certificate.subject.rfc4514_string()))
    return frozenset(found)


def _alternative_names(certificate: x509.Certificate) -> set[Identity]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    found: set[Identity] = {("dns", n.lower()) for n in names.get_values_for_type(x509.DNSName)}
    found |= {("uri", name) for name in names.get_values_for_type(x509.UniformResourceIdentifier)}
    return found | {("email", name) for name in names.get_values_for_type(x509.RFC822Name)}
