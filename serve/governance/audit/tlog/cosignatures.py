"""Cosignatures of c2sp.org/tlog-cosignature, Ed25519: a witness signs a checkpoint and the time."""

from __future__ import annotations

from serve.governance.audit.tlog.keys import SIGNATURE_BYTES, NoteSigner, NoteVerifier

SignedAt = int
"""Seconds since 1970."""
MAX_AT = (1 << 63) - 1


def cosign(text: str, signer: NoteSigner, at: SignedAt) -> bytes:
    """The time in 8 bytes, and the signature over it and a checkpoint's text: 72 bytes.

    Raises:
        ValueError: the time cannot be written.
    """
    if not 0 <= at <= MAX_AT:
        raise ValueError(f"{at} is not a time in seconds since 1970")
    return at.to_bytes(8) + signer.sign(_message(text, at))


def cosigned_at(text: str, raw: bytes, verifier: NoteVerifier) -> SignedAt | None:
    """The time at which this cosignature was made; None if the key did not make it."""
    if len(raw) != 8 + SIGNATURE_BYTES:
        return None
    at = int.from_bytes(raw[:8])
    return at if at <= MAX_AT and verifier.verify(_message(text, at), raw[8:]) else None


def _message(text: str, at: SignedAt) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()
