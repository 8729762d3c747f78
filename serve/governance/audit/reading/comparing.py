"""Comparison of a text with what the log says of a call's: its hash, or the document that is kept.

Nobody but who has the content key can compare: a hash is keyed with the subject's key.
"""

from __future__ import annotations

import hmac
from typing import Any

import orjson

from serve.governance.audit.content.subjects import key_subject, owner_subject
from serve.governance.audit.reading.contents import ContentGoneError, Contents
from serve.governance.audit.records.canonical import Record


def is_same(contents: Contents, begin: Record, note: Any, document: bytes) -> bool:
    """Whether a document is the one that an entry of a call is of.

    Args:
        begin: the call's, which says whose it is.
        note: what the entry, ``begin`` or ``end``, says of its document.
        document: as ``records.contents`` makes them.

    Raises:
        ContentGoneError: nothing is left to compare with.
    """
    if not isinstance(note, dict):
        raise ContentGoneError("the entry says nothing of it: contents were not recorded")
    if isinstance(expected := note.get("hmac"), str):
        key_id = (begin.get("content") or {}).get("subject_key")
        key = contents.key_of(subject_of(begin), str(key_id))
        return hmac.compare_digest(key.mac(document), expected)
    return bool(contents.document(note) == orjson.loads(document))


def subject_of(begin: Record) -> str:
    """The subject of a call's contents, from its record."""
    who = begin.get("who") or {}
    if owner := who.get("owner"):
        return owner_subject(str(who.get("tenant")), str(owner))
    return key_subject(str(who.get("key")))
