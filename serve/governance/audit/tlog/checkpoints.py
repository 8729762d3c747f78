"""Checkpoints of c2sp.org/tlog-checkpoint: what a log says of its tree, as the text of a note."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from serve.governance.audit.tlog import notes
from serve.governance.audit.tlog.hashing import HASH_BYTES
from serve.governance.audit.tlog.keys import NoteSigner, NoteVerifier, strict_base64
from serve.governance.audit.tlog.notes import InvalidNote

_SIZE = re.compile(r"0|[1-9][0-9]{0,19}")


@dataclass(frozen=True)
class Checkpoint:
    """A tree at one size.

    Attributes:
        origin: which log it is of.
        size: entries.
        root: 32 bytes.
        extensions: further lines, of which nothing is known here.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note's text."""
        root = base64.b64encode(self.root).decode()
        return "".join(f"{line}\n" for line in (self.origin, self.size, root, *self.extensions))

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint of a note's text.

        Raises:
            InvalidNote: it is none.
        """
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise InvalidNote("it does not have the three lines of a checkpoint")
        origin, size, root, *extensions = lines
        if _SIZE.fullmatch(size) is None or int(size) >= 1 << 64:
            raise InvalidNote(f"{size[:40]!r} is not a tree's size")
        try:
            raw = strict_base64(root)
        except ValueError:
            raw = b""
        if len(raw) != HASH_BYTES:
            raise InvalidNote(f"{root[:60]!r} is not a root hash")
        return cls(origin, int(size), raw, tuple(extensions))

    def signed(self, signer: NoteSigner) -> str:
        """The signed note."""
        return notes.written(self.text, [notes.sign(self.text, signer)])


def opened(
    content: bytes, verifiers: Sequence[NoteVerifier], *, origin: str | None = None
) -> tuple[Checkpoint, notes.Note]:
    """The checkpoint of a signed note, if a key of the log that it names has signed it.

    Args:
        content: of the note.
        verifiers: keys of logs, whose names are the logs' origins, and of witnesses.
        origin: of the log that is wanted; None for any whose key is known.

    Raises:
        InvalidNote: only others have signed it, it is of another log, or it is no checkpoint.
    """
    note = notes.opened(content, verifiers)
    checkpoint = Checkpoint.parse(note.text)
    if all(one.name != checkpoint.origin or one.signed_at is not None for one in note.verified):
        raise InvalidNote(f"no known key of the log {checkpoint.origin!r} has signed it")
    if origin is not None and checkpoint.origin != origin:
        raise InvalidNote(f"it is of the log {checkpoint.origin!r}, not of {origin!r}")
    return checkpoint, note
