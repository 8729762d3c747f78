"""One piece of feedback as a value, and the ids by which it names an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

MAX_LABELS: Final = 16
MAX_LABEL_CHARS: Final = 64
MAX_TEXT_CHARS: Final = 4000
MILLI: Final = 1000

_ANSWER_ID = re.compile(r"(?:[a-z]{1,16}[-_])?([0-9a-f]{32})")
"""Of any API family: its own word, and the request's digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """An opinion on one answer.

    Attributes:
        score_milli: thousandths, from -1000, bad, to 1000, good.
        labels: words of the client's own, none twice.
        text: None without one.
    """

    score_milli: int
    labels: tuple[str, ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFeedback:
    """Feedback as it is kept.

    Attributes:
        has_text: whether there is one, also where it cannot be read here.
        text: None without one, or where this server has another key, or none.
        created_at_ms: Unix milliseconds, as is ``changed_at_ms``.
    """

    request_id: str
    tenant: str
    owner: str
    key_id: str
    model: str
    arm: str
    score_milli: int
    labels: Sequence[str]
    has_text: bool
    text: str | None
    created_at_ms: int
    changed_at_ms: int

    def as_json(self) -> dict[str, Any]:
        """The feedback as /admin/feedback lists it."""
        return {
            "request_id": self.request_id,
            "tenant": self.tenant,
            "owner": self.owner,
            "key": self.key_id,
            "model": self.model,
            "arm": self.arm,
            "score": self.score_milli / MILLI,
            "labels": list(self.labels),
            "has_text": self.has_text,
            "text": self.text,
            "created_at": iso_time(self.created_at_ms),
            "updated_at": iso_time(self.changed_at_ms),
        }


def request_id_of(answer_id: str) -> str | None:
    """The request of an answer's id (``chatcmpl-...``, ``cmpl-...``, ``req-...``); None of none."""
    found = _ANSWER_ID.fullmatch(answer_id)
    return None if found is None else f"req-{found[1]}"


def iso_time(at_ms: int) -> str:
    """A time in UTC, as ISO 8601 has it, in milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
