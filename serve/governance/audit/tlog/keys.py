"""Ed25519 keys of c2sp.org/signed-note, as text.

A public one is a verifier key, ``NAME+ID+BASE64``; a private one has ``PRIVATE+KEY+`` before it and
the seed in place of the public key, as Go's checksum database writes them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = 0x01
"""The type of a plain signature over a note's text."""
COSIGNATURE = 0x04
"""The type of a cosignature with a time (cosignatures.py)."""
TYPES = (ED25519, COSIGNATURE)
PRIVATE = "PRIVATE+KEY+"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
_ID = re.compile(r"[0-9a-f]{8}")


def check_name(name: str) -> None:
    """Refuse a name that no key can have.

    Raises:
        ValueError: it is empty, or has a space, a plus or a control character.
    """
    if not name or "+" in name or any(c.isspace() or ord(c) < 0x20 for c in name):
        raise ValueError(
            f"{name!r} cannot be a key's name: it must not be empty, and have no space and no '+'. "
            "A name like example.com/audit will do."
        )


def key_id_of(name: str, kind: int, public: bytes) -> int:
    """The key ID: 32 bits of a hash over name, signature type and public key."""
    digest = hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()
    return int.from_bytes(digest[:4])


def strict_base64(text: str) -> bytes:
    """The bytes of standard base64 that is written in the one way there is.

    Raises:
        ValueError: it is not.
    """
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError(f"{text!r} is not canonical base64")
    return raw


@dataclass(frozen=True)
class NoteVerifier:
    """A public key: who signs, and how to check it.

    Attributes:
        name: of the key.
        public: 32 bytes.
        kind: ``ED25519`` or ``COSIGNATURE``.
    """

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def key_id(self) -> int:
        return key_id_of(self.name, self.kind, self.public)

    @property
    def text(self) -> str:
        """The verifier key, to be handed to whoever shall verify."""
        encoded = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id:08x}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> NoteVerifier:
        """The key of a verifier key's text.

        Raises:
            ValueError: it is none, its ID is wrong, or it is of a type that is not known here.
        """
        name, kind, public = _parsed(text, "verifier key")
        Ed25519PublicKey.from_public_bytes(public)
        return cls(name, public, kind)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the key made this signature of 64 bytes over these bytes."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class NoteSigner:
    """A private key, with its name.

    Args:
        name: of the key; for a log its origin.
        seed: 32 bytes, secret.
        kind: ``ED25519`` or ``COSIGNATURE``.

    Raises:
        ValueError: no key can have this name.
    """

    def __init__(self, name: str, seed: bytes, kind: int = ED25519) -> None:
        check_name(name)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._seed = seed
        public = self._key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        self.verifier = NoteVerifier(name, public, kind)

    @classmethod
    def generate(cls, name: str, kind: int = ED25519) -> NoteSigner:
        """A new key.

        Raises:
            ValueError: no key can have this name.
        """
        check_name(name)
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw(), kind)

    @classmethod
    def parse(cls, text: str) -> NoteSigner:
        """The key of a private key's text.

        Raises:
            ValueError: it is none; the message holds nothing of it.
        """
        if not text.startswith(PRIVATE):
            raise ValueError(f"it does not begin with {PRIVATE}")
        name, key_id, encoded = _parts(text.removeprefix(PRIVATE), "private key")
        try:
            raw = strict_base64(encoded)
        except ValueError:
            raise ValueError("the last part of the private key is not base64") from None
        if len(raw) != 1 + KEY_BYTES or raw[0] not in TYPES:
            raise ValueError("it is not a private key of Ed25519")
        signer = cls(name, raw[1:], raw[0])
        if signer.verifier.key_id != key_id:
            raise ValueError("the private key's ID does not belong to the key")
        return signer

    @property
    def name(self) -> str:
        return self.verifier.name

    @property
    def private_text(self) -> str:
        """The private key as text: secret."""
        encoded = base64.b64encode(bytes([self.verifier.kind]) + self._seed).decode()
        return f"{PRIVATE}{self.name}+{self.verifier.key_id:08x}+{encoded}"

    def sign(self, message: bytes) -> bytes:
        """The signature over these bytes: 64 bytes."""
        return self._key.sign(message)


def _parts(text: str, label: str) -> tuple[str, int, str]:
    name, plus, rest = text.partition("+")
    key_id, second_plus, encoded = rest.partition("+")
    if not plus or not second_plus or _ID.fullmatch(key_id) is None:
        raise ValueError(f"it is not a {label} (NAME+ID+BASE64)")
    check_name(name)
    return name, int(key_id, 16), encoded


def _parsed(text: str, label: str) -> tuple[str, int, bytes]:
    name, key_id, encoded = _parts(text, label)
    raw = strict_base64(encoded)
    if len(raw) != 1 + KEY_BYTES or raw[0] not in TYPES:
        raise ValueError(f"the {label} of {name} is not one of Ed25519, which alone is known here")
    if key_id_of(name, raw[0], raw[1:]) != key_id:
        raise ValueError(f"the ID in the {label} of {name} does not belong to the key")
    return name, raw[0], raw[1:]
