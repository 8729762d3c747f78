"""Signed notes, checkpoints and cosignatures: signed-note, tlog-checkpoint, tlog-cosignature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519, COSIGNATURE = 0x01, 0x04


class Refused(Exception):
    """A text that is malformed, or a signature that does not hold."""


@dataclass(frozen=True)
class PublicKey:
    """A verifier key: a name, an id of four bytes, a type, and 32 bytes of Ed25519."""

    name: str
    key_id: bytes
    kind: int
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        name, key_id, material = text.strip().split("+", 2)
        data = _base64(material)
        kind, raw = data[0], data[1:]
        if kind not in (ED25519, COSIGNATURE) or len(raw) != 32:
            raise Refused("no Ed25519 key")
        expected = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
        if key_id != expected.hex():
            raise Refused("the key's id is not its hash")
        return cls(name, expected, kind, raw)

    def verify(self, body: bytes, signature: bytes) -> int | None:
        """Check a signature of the note's text; returns a cosignature's time.

        Raises:
            Refused: it does not hold.
        """
        seconds: int | None = None
        if self.kind == COSIGNATURE:
            seconds = int.from_bytes(signature[:8], "big")
            signature = signature[8:]
            if not 0 < seconds < 1 << 63:
                raise Refused("a cosignature has no time")
            body = b"cosignature/v1\ntime %d\n" % seconds + body
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, body)
        except InvalidSignature:
            raise Refused(f"a signature of {self.name} does not hold") from None
        return seconds


@dataclass(frozen=True)
class Note:
    """A note that is taken apart, and not yet trusted."""

    body: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]
    """Name, id and signature of each line."""

    @classmethod
    def parse(cls, data: bytes) -> Note:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise Refused("a note is UTF-8") from None
        if any(ord(char) < 0x20 and char != "\n" for char in text):
            raise Refused("a note has no control characters")
        body, separator, lines = text.rpartition("\n\n")
        if not separator or not lines.endswith("\n"):
            raise Refused("a note has a text, an empty line and signatures")
        signatures = [_signature(line) for line in lines[:-1].split("\n")]
        return cls(f"{body}\n".encode(), tuple(signatures))

    def trusted(self, key: PublicKey) -> list[int | None]:
        """Times of the key's signatures; [] without one.

        Raises:
            Refused: one of them does not hold.
        """
        return [
            key.verify(self.body, signature)
            for name, key_id, signature in self.signatures
            if (name, key_id) == (key.name, key.key_id)
        ]


@dataclass(frozen=True)
class Checkpoint:
    """What a log says of itself."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, body: bytes) -> Checkpoint:
        lines = body.decode().split("\n")
        if lines.pop() or len(lines) < 3 or not all(lines):
            raise Refused("a checkpoint has three lines or more, none of them empty")
        if not re.fullmatch("0|[1-9][0-9]*", lines[1], re.ASCII):
            raise Refused("a checkpoint's size is a decimal number")
        root = _base64(lines[2])
        if len(root) != 32:
            raise Refused("a root has 32 bytes")
        return cls(lines[0], int(lines[1]), root)


def opened(data: bytes, log_key: PublicKey) -> tuple[Checkpoint, Note]:
    """A checkpoint that the log signed.

    Raises:
        Refused: it did not, or something is malformed.
    """
    note = Note.parse(data)
    if not note.trusted(log_key):
        raise Refused("the log did not sign this")
    found = Checkpoint.parse(note.body)
    if found.origin != log_key.name:
        raise Refused("this is another log's")
    return found, note


def _signature(line: str) -> tuple[str, bytes, bytes]:
    match = re.fullmatch(r"\u2014 (?P<name>[^\s+]+) (?P<data>\S+)", line)
    if match is None:
        raise Refused("a signature's line is a dash, a name and base64")
    data = _base64(match["data"])
    if len(data) < 5:
        raise Refused("a signature has an id and more")
    return match["name"], data[:4], data[4:]


def _base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("this is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise Refused("this is base64 of a kind that nobody writes")
    return data
