"""Sealed contents: one document of a call, encrypted, as it lies beside the log.

::

    frame   length of the header (4 bytes, big-endian) · header · AES-256-GCM of the document │ tag
    header  JSON: log, id of the request, kind, number, names of the subject and of its key, and a
            commitment to the request's key

The key is the request's own, made of its subject's; the nonce is the document's number within the
request, and the header is authenticated: a frame of another request or subject does not open.

AES-GCM alone does not bind to a key: whoever seals can make one frame that two keys open to two
documents, and choose later which to show (draft-irtf-cfrg-aead-properties: key commitment). So the
header has the SHA-256 of the key, and the log the SHA-256 of the frame.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from serve.governance.audit.content.subject_keys import SubjectKey, name_of

Kind = Literal["prompt", "piece", "answer"]
_LENGTH: Final = struct.Struct(">I")
MAX_HEADER_BYTES: Final = 4096
NONCE_BYTES: Final = 12
_COMMITTING: Final = b"intramural audit 1: commitment to the key "


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A document's place: of which call, and where in it.

    Attributes:
        log: name of the log.
        number: of the document within its request, from 0; no two have the same.
    """

    log: str
    request_id: str
    kind: Kind
    number: int


def sealed(key: SubjectKey, label: Label, document: bytes) -> bytes:
    """The frame of a document."""
    secret = key.call_secret(label.request_id)
    header = orjson.dumps(
        {
            "v": 2,
            "log": label.log,
            "id": label.request_id,
            "kind": label.kind,
            "number": label.number,
            "subject": name_of(key.subject),
            "key": key.key_id,
            "commitment": commitment(secret),
        },
        option=orjson.OPT_SORT_KEYS,
    )
    ciphertext = AESGCM(secret).encrypt(label.number.to_bytes(NONCE_BYTES), document, header)
    return _LENGTH.pack(len(header)) + header + ciphertext


def commitment(secret: bytes) -> str:
    """A hash that one key of a request alone has, and that tells nothing of it; hexadecimal."""
    return hashlib.sha256(_COMMITTING + secret).hexdigest()


def header_of(frame: bytes) -> dict[str, Any]:
    """The header of a frame, which is not proven. Raises ValueError where it has none."""
    return _parts(frame)[0]


def opened(key: SubjectKey, frame: bytes) -> bytes:
    """The document of a frame. Raises ValueError where it was changed, or is of another key."""
    header = header_of(frame)
    if header.get("key") != key.key_id:
        raise ValueError("it was sealed under another key of the subject")
    return opened_by(key.call_secret(str(header.get("id"))), frame)


def opened_by(secret: bytes, frame: bytes) -> bytes:
    """The document of a frame by its call's key. Raises ValueError where it does not open."""
    header, raw, ciphertext = _parts(frame)
    number = header.get("number")
    if not isinstance(number, int) or not 0 <= number < 1 << 63:
        raise ValueError("its header has no number")
    if header.get("commitment") != commitment(secret):
        raise ValueError("it was sealed under another key than the one it commits itself to")
    try:
        return AESGCM(secret).decrypt(number.to_bytes(NONCE_BYTES), ciphertext, raw)
    except InvalidTag:
        raise ValueError("it was changed, or sealed under another key") from None


def digest(frame: bytes) -> str:
    """SHA-256 of a frame, as the log's entry has it."""
    return hashlib.sha256(frame).hexdigest()


def _parts(frame: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    if len(frame) < _LENGTH.size:
        raise ValueError("it is no frame")
    (length,) = _LENGTH.unpack_from(frame)
    raw = frame[_LENGTH.size : _LENGTH.size + length]
    if length > MAX_HEADER_BYTES or len(raw) != length:
        raise ValueError("it is no frame")
    header = orjson.loads(raw)
    if not isinstance(header, dict):
        raise ValueError("it is no frame")  # noqa: TRY004 - as all else that it is not
    return header, raw, frame[_LENGTH.size + length :]
