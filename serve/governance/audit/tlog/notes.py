"""Signed notes of c2sp.org/signed-note: a text, an empty line, and a line for each signature."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serve.governance.audit.tlog.cosignatures import SignedAt, cosign, cosigned_at
from serve.governance.audit.tlog.keys import (
    COSIGNATURE,
    NoteSigner,
    NoteVerifier,
    check_name,
    strict_base64,
)

MAX_NOTE_BYTES = 1 << 20
MAX_SIGNATURES = 100
_DASH = "\N{EM DASH} "


class InvalidNote(ValueError):
    """A text is no signed note, or no key that is trusted has signed it."""


@dataclass(frozen=True)
class Signature:
    """A line of a note.

    Attributes:
        name: of the key.
        key_id: of the key, 32 bits.
        raw: what the key made: 64 bytes, or with a time 72.
        signed_at: seconds since 1970 of a cosignature that was verified; None of others.
    """

    name: str
    key_id: int
    raw: bytes
    signed_at: SignedAt | None = None

    @property
    def line(self) -> str:
        encoded = base64.b64encode(self.key_id.to_bytes(4) + self.raw).decode()
        return f"{_DASH}{self.name} {encoded}\n"


@dataclass(frozen=True)
class Note:
    """A note that was taken apart.

    Attributes:
        text: with its last newline.
        signatures: all lines.
        verified: those of known keys; they all hold.
    """

    text: str
    signatures: tuple[Signature, ...]
    verified: tuple[Signature, ...] = ()

    @property
    def content(self) -> str:
        """The whole note, as it is stored."""
        return written(self.text, self.signatures)


def sign(text: str, signer: NoteSigner, *, at: SignedAt = 0) -> Signature:
    """A key's signature over a note's text.

    Args:
        text: ends in a newline.
        signer: the key.
        at: seconds since 1970, for a cosigner's key.
    """
    is_cosignature = signer.verifier.kind == COSIGNATURE
    raw = cosign(text, signer, at) if is_cosignature else signer.sign(text.encode())
    return Signature(signer.name, signer.verifier.key_id, raw, at if is_cosignature else None)


def written(text: str, signatures: Iterable[Signature]) -> str:
    """A whole note, as it is stored.

    Raises:
        ValueError: the text does not end in a newline, or has a control character.
    """
    if not text.endswith("\n") or _has_control(text):
        raise ValueError("a note's text ends in a newline, and has no control character")
    return text + "\n" + "".join(signature.line for signature in signatures)


def parse(content: bytes) -> Note:
    """The note's parts. Nothing in them is to be believed before `opened` has checked it.

    Raises:
        InvalidNote: it is not written as a note is.
    """
    if len(content) > MAX_NOTE_BYTES:
        raise InvalidNote(f"a note of {len(content):,} bytes; {MAX_NOTE_BYTES:,} are read")
    try:
        whole = content.decode()
    except UnicodeDecodeError:
        raise InvalidNote("it is not UTF-8 text") from None
    if _has_control(whole):
        raise InvalidNote("it has a control character")
    before, separator, lines = whole.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise InvalidNote("it has no signature behind an empty line")
    found = lines.removesuffix("\n").split("\n")
    if len(found) > MAX_SIGNATURES:
        raise InvalidNote(f"it has {len(found)} signatures; at most {MAX_SIGNATURES} are read")
    return Note(before + "\n", tuple(_signature(line) for line in found))


def opened(content: bytes, verifiers: Sequence[NoteVerifier]) -> Note:
    """The note, if a known key has signed it.

    Raises:
        InvalidNote: none has, a known key's signature is wrong, or it is no note.
    """
    note = parse(content)
    verified: list[Signature] = []
    for signature in note.signatures:
        for verifier in verifiers:
            if (verifier.name, verifier.key_id) == (signature.name, signature.key_id):
                verified.append(_verified(note.text, signature, verifier))
                break
    if not verified:
        wanted = " or ".join(f"{v.name} ({v.key_id:08x})" for v in verifiers) or "any known key"
        raise InvalidNote(f"it is not signed by {wanted}")
    return Note(note.text, note.signatures, tuple(verified))


def _verified(text: str, signature: Signature, verifier: NoteVerifier) -> Signature:
    if verifier.kind == COSIGNATURE:
        at = cosigned_at(text, signature.raw, verifier)
        if at is not None:
            return Signature(signature.name, signature.key_id, signature.raw, at)
    elif verifier.verify(text.encode(), signature.raw):
        return signature
    raise InvalidNote(f"the signature of {verifier.name} ({verifier.key_id:08x}) is wrong")


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise InvalidNote("a line behind its last empty line is not a signature")
    try:
        check_name(name)
        raw = strict_base64(encoded)
    except ValueError as error:
        raise InvalidNote(f"a signature line is wrong: {error}") from None
    if len(raw) < 5:
        raise InvalidNote("a signature is too short")
    return Signature(name, int.from_bytes(raw[:4]), raw[4:])


def _has_control(text: str) -> bool:
    return any(c < " " and c != "\n" for c in text)
