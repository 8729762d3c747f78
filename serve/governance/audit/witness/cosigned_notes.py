"""Cosigned checkpoints as files beside the log's own: one for each witness, the last it signed.

The log's checkpoint moves on each second, and a cosignature is of one checkpoint: so the whole note
is kept, ``cosignatures/KEY-ID.checkpoint``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models import durable, plain_file
from serve.governance.audit.tlog import checkpoints, notes
from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.keys import NoteVerifier
from serve.governance.audit.tlog.notes import MAX_NOTE_BYTES, InvalidNote, Note

FOLDER: Final = "cosignatures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """A checkpoint that a witness signed.

    Attributes:
        at_s: Unix seconds of the signature, as the witness says.
        note: with the log's signature and the witness's.
    """

    witness: NoteVerifier
    checkpoint: Checkpoint
    at_s: int
    note: Note


class CosignedNotes:
    """The cosigned checkpoints of a log's folder."""

    def __init__(self, log_folder: Path) -> None:
        self.folder = log_folder / FOLDER

    def path(self, witness: NoteVerifier) -> Path:
        """The file of a witness's last checkpoint."""
        return self.folder / f"{witness.key_id:08x}.checkpoint"

    def keep(self, witness: NoteVerifier, note: Note) -> None:
        """Put a cosigned checkpoint on the disk.

        Raises:
            OSError: it could not be written.
        """
        self.folder.mkdir(exist_ok=True, mode=0o700)
        durable.write_whole(self.path(witness), note.content.encode(), mode=0o600)

    def read(self, witness: NoteVerifier, log_keys: Sequence[NoteVerifier]) -> Cosigned | None:
        """The last checkpoint that a witness signed; None without one.

        Raises:
            InvalidNote: it is not signed by the log and by the witness.
            OSError: it cannot be read.
        """
        try:
            content = plain_file.read(self.path(witness), MAX_NOTE_BYTES)
        except FileNotFoundError:
            return None
        checkpoints.opened(content, log_keys)  # signed by the log
        checkpoint, note = checkpoints.opened(content, [*log_keys, witness])
        times = [one.signed_at for one in note.verified if one.signed_at is not None]
        if not times:
            raise InvalidNote(f"it is not signed by {witness.name}")
        return Cosigned(witness=witness, checkpoint=checkpoint, at_s=max(times), note=note)


def together(found: Sequence[Cosigned], *, above: int) -> Note | None:
    """One note with all cosignatures of the checkpoint that most witnesses signed, the newest one.

    Args:
        above: an entry's index, which the checkpoint must have.
    """
    by_text: dict[str, list[Cosigned]] = {}
    for one in found:
        if one.checkpoint.size > above:
            by_text.setdefault(one.note.text, []).append(one)
    if not by_text:
        return None
    best = max(by_text.values(), key=lambda group: (len(group), group[0].checkpoint.size))
    signatures = dict.fromkeys(signature for one in best for signature in one.note.verified)
    return notes.Note(best[0].note.text, tuple(signatures), tuple(signatures))
