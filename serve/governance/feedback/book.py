"""The book of feedback: who may write on which answer, and what of it is readable where.

Texts are what people write, so they lie in the database encrypted, each under a key of its own and
bound to its answer and its owner. Scores and labels are plain: they are counted there.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from models.rules.names import quoted
from serve.errors import AnswerNotFound, UnsupportedField
from serve.governance.feedback.feedback import Feedback, StoredFeedback, request_id_of
from serve.governance.limits.rules import user_of
from serve.governance.principal import Principal
from serve.governance.sealing import SealingKey, UnsealableError
from serve.storage.feedback_values import (
    Asker,
    FailedCall,
    FeedbackCounts,
    FeedbackFilter,
    FeedbackRow,
    Position,
)

if TYPE_CHECKING:  # the routes are there also where nothing needs a database's libraries
    from serve.storage.database import Database

SHOWN_CHARS: Final = 60

OnFeedback = Callable[[str, str, int], None]
"""Told of the first feedback on an answer: its model, its arm, and the score in thousandths."""


class FeedbackBook:
    """All feedback of a database.

    Args:
        database: that of the ledger.
        key: under which texts are kept; None takes none.
        on_feedback: counts it.
    """

    def __init__(
        self, database: Database, key: SealingKey | None, on_feedback: OnFeedback | None = None
    ) -> None:
        self._database = database
        self._key = key
        self._on_feedback = on_feedback

    async def give(
        self, principal: Principal, answer_id: str, given: Feedback
    ) -> tuple[StoredFeedback, bool]:
        """Write feedback on an answer of the principal's own, in the place of an earlier one.

        Returns:
            The feedback, and whether it is the first on its answer.

        Raises:
            AnswerNotFound: there is no such answer of the principal's, or the call failed.
            UnsupportedField: there is a text, and no key to keep it under.
            StoreUnavailable: whether it was written is not known; it may be given again.
        """
        from serve.storage import feedback_rows  # noqa: PLC0415

        request_id, asker = _known(answer_id), _asker(principal)
        sealed = self._sealed(request_id, asker, given.text)
        found = await self._database.write(
            lambda connection: feedback_rows.put(
                connection,
                asker,
                request_id=request_id,
                key_id=principal.key_id,
                score_milli=given.score_milli,
                labels=json.dumps(given.labels, ensure_ascii=False),
                sealed_text=sealed,
            )
        )
        if found is None:
            raise _not_found(answer_id)
        if isinstance(found, FailedCall):
            raise AnswerNotFound(
                f"The call {quoted(answer_id[:SHOWN_CHARS])} of yours ended in an error, "
                f"{found.outcome}: it has no answer to give feedback on. Send it again, and the id "
                "of that answer.",
                param="id",
            )
        row, is_first = found
        if is_first and self._on_feedback is not None:
            self._on_feedback(row.model, row.arm, row.score_milli)
        return self._stored(row), is_first

    async def take_back(self, principal: Principal, answer_id: str) -> None:
        """Delete the feedback on an answer of the principal's own; none there is as well.

        Raises:
            AnswerNotFound: there is no such answer of the principal's.
            StoreUnavailable: whether it was deleted is not known; it may be asked again.
        """
        from serve.storage import feedback_rows  # noqa: PLC0415

        request_id, asker = _known(answer_id), _asker(principal)
        is_own = await self._database.write(
            lambda connection: feedback_rows.take_back(connection, asker, request_id)
        )
        if not is_own:
            raise _not_found(answer_id)

    async def page(
        self, chosen: FeedbackFilter, *, limit: int, after: Position | None = None
    ) -> tuple[list[StoredFeedback], Position | None]:
        """A page of everybody's feedback, oldest first, and after which row the next one begins.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        from serve.storage import feedback_rows  # noqa: PLC0415

        rows, has_more = await self._database.report(
            lambda connection: feedback_rows.page(connection, chosen, limit=limit, after=after)
        )
        last = (rows[-1].created_at_ms, rows[-1].request_id) if has_more else None
        return [self._stored(row) for row in rows], last

    async def counts(self, chosen: FeedbackFilter) -> Sequence[FeedbackCounts]:
        """Counts by model and arm. Raises as ``page`` does."""
        from serve.storage import feedback_rows  # noqa: PLC0415

        return await self._database.report(
            lambda connection: feedback_rows.counts(connection, chosen)
        )

    async def forget(self, *, tenant: str, owner: str) -> int:
        """Delete all feedback of one owner; returns how much there was.

        Raises:
            StoreUnavailable: whether it was deleted is not known.
        """
        from serve.storage import feedback_rows  # noqa: PLC0415

        return await self._database.write(
            lambda connection: feedback_rows.forget(connection, tenant=tenant, owner=owner)
        )

    def _sealed(self, request_id: str, asker: Asker, text: str | None) -> str:
        if text is None:
            return ""
        if self._key is None:
            raise UnsupportedField(
                "text is not kept by this server: it has no key to encrypt texts of feedback. "
                "Leave it out; score and labels are kept.",
                param="text",
            )
        place = _place(request_id, asker.tenant, asker.owner)
        return base64.b64encode(self._key.seal(place, text.encode())).decode()

    def _stored(self, row: FeedbackRow) -> StoredFeedback:
        return StoredFeedback(
            request_id=row.request_id,
            tenant=row.tenant,
            owner=row.owner,
            key_id=row.key_id,
            model=row.model,
            arm=row.arm,
            score_milli=row.score_milli,
            labels=json.loads(row.labels),
            has_text=bool(row.sealed_text),
            text=self._text_of(row),
            created_at_ms=row.created_at_ms,
            changed_at_ms=row.changed_at_ms,
        )

    def _text_of(self, row: FeedbackRow) -> str | None:
        if self._key is None or not row.sealed_text:
            return None
        place = _place(row.request_id, row.tenant, row.owner)
        try:
            return self._key.unseal(place, base64.b64decode(row.sealed_text)).decode()
        except (UnsealableError, binascii.Error, UnicodeDecodeError):
            return None


def _place(*names: str) -> bytes:
    """The row's own names, with lengths: no two rows read alike."""
    return b"feedback:" + b"".join(b"%d:%b" % (len(raw := n.encode()), raw) for n in names)


def _asker(principal: Principal) -> Asker:
    """The answers' owner: of a key without one, that key alone."""
    return Asker(
        tenant=principal.tenant,
        owner=user_of(principal),
        key_id=None if principal.owner else principal.key_id,
    )


def _known(answer_id: str) -> str:
    """The request of an id. Raises AnswerNotFound: in the words for any other that is not found."""
    request_id = request_id_of(answer_id)
    if request_id is None:
        raise _not_found(answer_id)
    return request_id


def _not_found(answer_id: str) -> AnswerNotFound:
    return AnswerNotFound(
        f"There is no answer {quoted(answer_id[:SHOWN_CHARS])} of yours. Send the `id` of an "
        "answer that this key, or another key of its owner, was given.",
        param="id",
    )
