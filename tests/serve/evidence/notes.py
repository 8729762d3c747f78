"""A signer of notes for tests, by cryptography's Ed25519 alone."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class TestSigner:
    """A key of a name, made of a seed (a serve.evidence.folder.Signer)."""

    __test__ = False

    def __init__(self, name: str = "evidence.example", seed: int = 7) -> None:
        self._name = name
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        public = self._key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        self._id = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
        encoded = base64.b64encode(b"\x01" + public).decode()
        self.verifier_key = f"{name}+{self._id.hex()}+{encoded}"

    def sign(self, text: str) -> bytes:
        """The note of a text."""
        signature = base64.b64encode(self._id + self._key.sign(text.encode())).decode()
        return f"{text}\n\u2014 {self._name} {signature}\n".encode()
