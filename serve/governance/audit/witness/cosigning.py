"""The witness itself: which checkpoints it cosigns, by the rules of c2sp.org/tlog-witness.

It knows of a log its keys and the last checkpoint that it cosigned, and nothing of HTTP.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from serve.governance.audit.tlog import checkpoints, notes
from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.hashing import EMPTY_ROOT
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner, NoteVerifier
from serve.governance.audit.tlog.notes import InvalidNote, Note, Signature
from serve.governance.audit.tlog.proofs import is_consistent
from serve.governance.audit.witness.request_body import Submission
from serve.governance.audit.witness.state import Held, WitnessState


class RefusedError(Exception):
    """A checkpoint that is not cosigned.

    Attributes:
        status: of HTTP, as the text on witnesses has it.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class OtherSizeError(RefusedError):
    """The proof begins at another size than the witness has."""

    def __init__(self, size: int) -> None:
        super().__init__(HTTPStatus.CONFLICT, f"the last checkpoint cosigned has size {size}")
        self.size = size


class InconsistentError(RefusedError):
    """The log signed a checkpoint that does not continue what was cosigned: it has another past.

    Attributes:
        origin: of the log.
        held: what was cosigned.
        claimed: what the log says now.
    """

    def __init__(self, origin: str, held: Held, claimed: Checkpoint) -> None:
        super().__init__(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"the checkpoint of {claimed.size} entries is not shown to continue the "
            f"{held.size} entries that were cosigned: one of entries 0 to {held.size - 1} "
            "differs, or the proof is wrong",
        )
        self.origin = origin
        self.held = held
        self.claimed = claimed


class Witness:
    """Cosigns checkpoints of known logs, from any thread.

    Args:
        signer: of kind COSIGNATURE.
        log_keys: of the logs; a key's name is the log's origin, and several keys may have it.
        clock: Unix seconds.

    Raises:
        ValueError: the signer is of another kind.
    """

    def __init__(
        self,
        signer: NoteSigner,
        log_keys: Sequence[NoteVerifier],
        state: WitnessState,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if signer.verifier.kind != COSIGNATURE:
            raise ValueError("a witness's key is one for cosignatures, not for notes")
        self.verifier = signer.verifier
        self.state = state
        self._signer = signer
        self._keys: Mapping[str, Sequence[NoteVerifier]] = {}
        self.know(log_keys)
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def origins(self) -> tuple[str, ...]:
        """The logs that are known."""
        return tuple(self._keys)

    @property
    def log_keys(self) -> tuple[NoteVerifier, ...]:
        """The keys of the logs that are known."""
        return tuple(key for keys in self._keys.values() for key in keys)

    def know(self, log_keys: Sequence[NoteVerifier]) -> bool:
        """Know these logs from now on, and no others. Whether that is a change.

        What was cosigned of a log stays, also of one that is not known any more.
        """
        keys = _by_origin(log_keys)
        is_change = keys != self._keys
        self._keys = keys
        return is_change

    def held(self, origin: str) -> Held | None:
        """The last tree that was cosigned; None before the first.

        Raises:
            InvalidNote: what was kept is damaged: nothing is cosigned before it is restored.
        """
        content = self.state.checkpoint(origin)
        if content is None:
            return None
        note = notes.parse(content)
        checkpoint = Checkpoint.parse(note.text)
        ours = [one for one in note.signatures if one.name == self.verifier.name]
        time_s = max((int.from_bytes(one.raw[:8]) for one in ours), default=0)
        return Held(time_s=time_s, size=checkpoint.size, root=checkpoint.root)

    def cosign(self, submission: Submission) -> Signature:
        """Cosign a checkpoint that continues the last one; it is on the disk by then.

        Raises:
            RefusedError: it is not cosigned.
            InvalidNote: what the witness has kept is damaged.
            OSError: it could not be kept, and is not cosigned.
        """
        checkpoint, note = self._opened(submission.checkpoint)
        if submission.old_size > checkpoint.size:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST,
                f"the old size {submission.old_size} is above the checkpoint's {checkpoint.size}",
            )
        with self._lock:
            held = self.held(checkpoint.origin)
            held_size = 0 if held is None else held.size
            if submission.old_size != held_size:
                raise OtherSizeError(held_size)
            at = int(self._clock())
            self._check_growth(held, checkpoint, submission, at)
            signature = notes.sign(note.text, self._signer, at=at)
            kept = notes.written(note.text, [*note.verified, signature])
            tree = Held(time_s=at, size=checkpoint.size, root=checkpoint.root)
            self.state.record(checkpoint.origin, kept.encode(), tree, before=held)
        return signature

    def _opened(self, content: bytes) -> tuple[Checkpoint, Note]:
        try:
            origin = origin_of(content)
        except InvalidNote as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"this is no checkpoint: {error}") from None
        keys = self._keys.get(origin)
        if keys is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "this log is not known here")
        try:
            return checkpoints.opened(content, keys, origin=origin)
        except InvalidNote as error:
            raise RefusedError(HTTPStatus.FORBIDDEN, f"the checkpoint: {error}") from None

    def _check_growth(
        self, held: Held | None, checkpoint: Checkpoint, submission: Submission, at: int
    ) -> None:
        """Refuse what does not continue the tree that is held.

        Raises:
            RefusedError: it does not.
        """
        if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
            raise RefusedError(
                HTTPStatus.UNPROCESSABLE_ENTITY, "an empty log has another root than this"
            )
        old = held or Held(time_s=0, size=0, root=EMPTY_ROOT)
        if is_consistent(old.size, old.root, checkpoint.size, checkpoint.root, submission.proof):
            return
        if held is None or held.size == 0:
            raise RefusedError(
                HTTPStatus.UNPROCESSABLE_ENTITY, "the first checkpoint takes no proof"
            )
        self.state.keep_refused(checkpoint.origin, checkpoint.size, submission.checkpoint, at)
        raise InconsistentError(checkpoint.origin, held, checkpoint)


def origin_of(checkpoint: bytes) -> str:
    """The log that a checkpoint says it is of; nothing of it is proven. Raises InvalidNote."""
    return Checkpoint.parse(notes.parse(checkpoint).text).origin


def _by_origin(keys: Sequence[NoteVerifier]) -> Mapping[str, Sequence[NoteVerifier]]:
    found: dict[str, list[NoteVerifier]] = {}
    for key in keys:
        found.setdefault(key.name, []).append(key)
    return found
