"""Proofs of entries for third parties, under the checkpoint that the most witnesses signed."""

from __future__ import annotations

from collections.abc import Sequence

from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.reading.joined import BEGIN, CHUNKS, joined
from serve.governance.audit.tlog import proofs
from serve.governance.audit.tlog.keys import NoteVerifier
from serve.governance.audit.tlog.notes import InvalidNote
from serve.governance.audit.tlog.proof_text import Proof
from serve.governance.audit.witness.cosigned_notes import CosignedNotes, together


class NotCosignedError(Exception):
    """A witness has signed no checkpoint that has the entry; the message says which and why."""


def proven(log: LogFolder, index: int, witnesses: Sequence[NoteVerifier] = ()) -> Proof:
    """The proof that an entry is in a log.

    Args:
        witnesses: that must have signed the checkpoint of the proof.

    Raises:
        NotCosignedError: one has not, or not yet.
        ValueError: the log has no such entry.
        LogDamaged: a tile is missing or damaged.
    """
    if not witnesses:
        return log.proof(index)
    kept = CosignedNotes(log.path)
    found = []
    for witness in witnesses:
        try:
            one = kept.read(witness, log.verifiers)
        except InvalidNote as error:
            raise NotCosignedError(f"{witness.name}: {error}") from None
        if one is None or one.checkpoint.size <= index:
            has = "no checkpoint" if one is None else f"{one.checkpoint.size} entries"
            raise NotCosignedError(f"{witness.name} has signed {has}: entry {index} is not there")
        found.append(one)
    note = together(found, above=index)
    if note is None or len(note.verified) < len(witnesses) + 1:
        names = ", ".join(witness.name for witness in witnesses)
        raise NotCosignedError(f"{names} have signed different checkpoints: prove with one of them")
    size = max(one.checkpoint.size for one in found if one.note.text == note.text)
    hashes = proofs.inclusion_proof(index, size, log.hash_at)
    return Proof(index, tuple(hashes), note.content.encode())


def indices_of(log: LogFolder, request_id: str, start: int = 0) -> dict[str, int]:
    """The begin and the end of a request, or the one record that it has, by their type."""
    found: dict[str, int] = {}
    for entry in joined(log, start, log.size):
        if entry.kind != CHUNKS and request_id in entry.request_ids:
            found[entry.kind] = entry.index
            if entry.kind != BEGIN:
                break
    return found
