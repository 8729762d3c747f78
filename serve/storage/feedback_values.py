"""Feedback as values: what is asked for, and what comes; without the database's libraries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_ROWS: Final = 1000
MAX_GROUPS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRow:
    """One row; the columns of the table.

    Attributes:
        score_milli: thousandths, -1000 to 1000.
        labels: a JSON array.
        sealed_text: base64 of ciphertext; empty without a text.
    """

    request_id: str
    tenant: str
    owner: str
    key_id: str
    model: str
    arm: str
    score_milli: int
    labels: str
    sealed_text: str
    created_at_ms: int
    changed_at_ms: int


ANSWERED: Final = frozenset(
    ("stop", "length", "tool_calls", "content_filter", "cached", "disconnected", "unfinished")
)
"""Outcomes of calls that gave an answer, whole or in part; others are an error's code."""


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call of the asker's that ended in an error, so that there is no answer of it.

    Attributes:
        outcome: the error's code.
    """

    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """The caller whose answers are meant.

    Attributes:
        key_id: where the answers of this key alone are the caller's; None is the owner's.
    """

    tenant: str
    owner: str
    key_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackFilter:
    """Rows that are meant: those that hold to all that is not None. Times are milliseconds."""

    tenant: str | None = None
    owner: str | None = None
    model: str | None = None
    arm: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackCounts:
    """Feedback on the answers of one model and one arm.

    Attributes:
        num_positive: with a score above 0; negative ones are below, the others are 0.
        sum_milli: of all scores.
    """

    model: str
    arm: str
    num_all: int
    num_positive: int
    num_negative: int
    num_texts: int
    sum_milli: int


Position = tuple[int, str]
"""Time and id of a row, after which a page begins."""
