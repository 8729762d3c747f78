"""One witness as the server asks it: ``POST /add-checkpoint`` of c2sp.org/tlog-witness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from serve.governance.alerts.pinned_http import Answer, PinnedHttp, PostFailed
from serve.governance.audit.tlog import notes
from serve.governance.audit.tlog.keys import NoteVerifier
from serve.governance.audit.tlog.notes import InvalidNote, Note
from serve.governance.audit.witness import request_body

MAX_ANSWER_BYTES: Final = 1 << 14
MAX_REASON_CHARS: Final = 400


class WitnessAwayError(Exception):
    """A witness that did not answer, or not as a witness does. The message has no address."""


class WitnessHasError(Exception):
    """The witness has cosigned another size than the proof begins at.

    Attributes:
        size: that it has.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"the witness has cosigned {size} entries")
        self.size = size


class WitnessRefusedError(Exception):
    """A witness that will not cosign. The message is its own, bounded and printable.

    Attributes:
        status: of HTTP; 422 says that the log does not continue what was cosigned.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class WitnessClient:
    """Asks one witness for cosignatures.

    Args:
        verifier: its key, of kind COSIGNATURE: what does not verify by it is no cosignature.
        http: its address; the path of the URL is the submission prefix.
    """

    def __init__(self, verifier: NoteVerifier, http: PinnedHttp) -> None:
        self.verifier = verifier
        self._http = http
        self._path = http.target.path.rstrip("/") + "/add-checkpoint"

    @property
    def name(self) -> str:
        """The name of its key."""
        return self.verifier.name

    async def cosigned(self, old_size: int, proof: Sequence[bytes], checkpoint: bytes) -> Note:
        """The checkpoint with the witness's signature added, which was verified.

        Args:
            old_size: entries that the witness has, as far as is known.
            proof: that the checkpoint's tree continues the one of that size.
            checkpoint: signed by the log.

        Raises:
            WitnessHasError: it has another size.
            WitnessRefusedError: it will not sign.
            WitnessAwayError: there is no answer that can be used.
        """
        body = request_body.written(old_size, proof, checkpoint)
        try:
            answer = await self._http.post(
                body,
                {"content-type": "text/plain; charset=utf-8"},
                path=self._path,
                max_bytes=MAX_ANSWER_BYTES,
            )
        except PostFailed as error:
            raise WitnessAwayError(str(error)) from None
        return self._read(answer, checkpoint)

    def _read(self, answer: Answer, checkpoint: bytes) -> Note:
        if answer.status == 200:
            return self._verified(checkpoint, answer.body)
        text = "".join(char if char.isprintable() else " " for char in _decoded(answer.body))
        if answer.status == 409 and text.strip().isascii() and text.strip().isdigit():
            raise WitnessHasError(int(text.strip()[:19]))
        if answer.status in {400, 403, 404, 422}:
            raise WitnessRefusedError(answer.status, text.strip()[:MAX_REASON_CHARS])
        raise WitnessAwayError(f"the answer was {answer.status}")

    def _verified(self, checkpoint: bytes, lines: bytes) -> Note:
        """The log's note with the witness's signature; other lines of the answer are left out."""
        try:
            before = notes.parse(checkpoint)
            added = notes.opened(checkpoint + lines, [self.verifier])
        except InvalidNote as error:
            raise WitnessAwayError(f"its answer is no cosignature: {error}") from None
        if added.text != before.text:
            raise WitnessAwayError("its answer is no cosignature of this checkpoint")
        return Note(before.text, (*before.signatures, added.verified[-1]), added.verified[-1:])


def _decoded(body: bytes) -> str:
    return body.decode("utf-8", "replace")
