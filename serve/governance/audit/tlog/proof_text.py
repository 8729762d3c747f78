"""Proofs of c2sp.org/tlog-proof: that an entry is in a log, in a text that is checked offline."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from serve.governance.audit.tlog import checkpoints
from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.hashing import HASH_BYTES
from serve.governance.audit.tlog.keys import NoteVerifier, strict_base64
from serve.governance.audit.tlog.notes import InvalidNote, Note
from serve.governance.audit.tlog.proofs import is_included

HEADER = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"
MAX_PROOF_BYTES = 2 << 20
_INDEX = re.compile(r"0|[1-9][0-9]{0,19}")


class InvalidProof(ValueError):
    """A text is no proof, or it does not prove that the entry is in the log."""


@dataclass(frozen=True)
class Proof:
    """A proof that an entry is in a log.

    Attributes:
        index: of the entry.
        hashes: of the inclusion proof, the leaf's sibling first.
        checkpoint: the signed note, as the log and its witnesses wrote it.
        extra: whatever else a verifier needs; not authenticated. None where there is nothing.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    @property
    def content(self) -> bytes:
        """The proof as it is stored."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(one).decode() for one in self.hashes]
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint

    @classmethod
    def parse(cls, content: bytes) -> Proof:
        """The proof's parts, of which nothing is to be believed before `verified`.

        Raises:
            InvalidProof: it is not written as a proof is.
        """
        if len(content) > MAX_PROOF_BYTES:
            raise InvalidProof(f"it has {len(content):,} bytes; {MAX_PROOF_BYTES:,} are read")
        head, separator, checkpoint = content.partition(b"\n\n")
        try:
            lines = head.decode().split("\n")
        except UnicodeDecodeError:
            raise InvalidProof("it is not UTF-8 text") from None
        if not separator or lines.pop(0) != HEADER:
            raise InvalidProof(f"it does not begin with {HEADER}, or has no checkpoint")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = _decoded(lines.pop(0).removeprefix("extra "), "the extra data")
        index = lines.pop(0).removeprefix("index ") if lines and lines[0][:6] == "index " else ""
        if _INDEX.fullmatch(index) is None:
            raise InvalidProof("it does not say the entry's index")
        hashes = tuple(_decoded(line, "a hash") for line in lines)
        if any(len(one) != HASH_BYTES for one in hashes):
            raise InvalidProof("a hash of it has not 32 bytes")
        return cls(int(index), hashes, checkpoint, extra)


def verified(
    proof: Proof, leaf: bytes, verifiers: Sequence[NoteVerifier], *, origin: str | None = None
) -> tuple[Checkpoint, Note]:
    """The checkpoint that a leaf hash is proven to be in, and the note with its signatures.

    Args:
        proof: the proof.
        leaf: the entry's leaf hash (`hashing.leaf_hash`).
        verifiers: the log's keys, and those of witnesses: their cosignatures are in the note's
            ``verified``, and whether they are enough is for the caller to say.
        origin: of the log; None for any that these keys sign for.

    Raises:
        InvalidProof: it is not proven.
    """
    try:
        checkpoint, note = checkpoints.opened(proof.checkpoint, verifiers, origin=origin)
    except InvalidNote as error:
        raise InvalidProof(f"the checkpoint does not hold: {error}") from None
    if not is_included(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root):
        raise InvalidProof(
            f"this entry is not entry {proof.index} of the log at {checkpoint.size} entries"
        )
    return checkpoint, note


def _decoded(text: str, label: str) -> bytes:
    try:
        return strict_base64(text)
    except ValueError:
        raise InvalidProof(f"{label} is not base64") from None
