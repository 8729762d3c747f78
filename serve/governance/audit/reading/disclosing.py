"""Disclosure of one document to a third party: its sealed frame, and the key of its call alone.

The entry has the frame's SHA-256, so who has the entry proven has the frame proven; the call's key
opens that call's documents, and nothing else of the subject's.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import orjson

from serve.governance.audit.content.sealing import digest, opened_by
from serve.governance.audit.reading.contents import ContentGoneError, Contents
from serve.governance.audit.records.canonical import decoded

MAX_BYTES: Final = 64 << 20


def disclosed(contents: Contents, note: dict[str, Any]) -> bytes:
    """The file that shows a document.

    Args:
        note: what its entry says of it.

    Raises:
        ContentGoneError: it was erased or pruned, or is not what the entry says.
    """
    contents.document(note)  # is there, and is what the entry says
    frame = contents.frame(int(note["at"]))
    secret = contents.call_secret(frame)
    return orjson.dumps(
        {"v": 1, "frame": base64.b64encode(frame).decode(), "key": secret.hex()},
        option=orjson.OPT_APPEND_NEWLINE,
    )


def shown(disclosure: bytes, entry: bytes) -> Any:
    """The document that a disclosure shows to be an entry's, as JSON has it.

    Raises:
        ContentGoneError: it is not the entry's, or does not open.
    """
    note = decoded(entry).get("content")
    try:
        document = orjson.loads(disclosure)
        frame = base64.b64decode(document["frame"], validate=True)
        secret = bytes.fromhex(document["key"])
    except (ValueError, KeyError, TypeError):
        raise ContentGoneError("this is no disclosure of a document") from None
    if not isinstance(note, dict) or note.get("sha256") != digest(frame):
        raise ContentGoneError("the entry is of another document than this")
    try:
        return orjson.loads(opened_by(secret, frame))
    except ValueError as error:
        raise ContentGoneError(f"the document does not open: {error}") from None
