"""A question about feedback, from its parameters as they were written."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from models.rules.names import quoted
from serve.errors import InvalidRequest
from serve.governance.query_values import day_of, limit_of, shown
from serve.storage.feedback_values import MAX_ROWS, FeedbackFilter, Position
from serve.suggestion import near

DEFAULT_LIMIT: Final = 100
MAX_VALUE_CHARS: Final = 256
FILTERS: Final[Mapping[str, str]] = {
    "from": "First day, YYYY-MM-DD in UTC, on which it was given first. Default: all there are.",
    "to": "Last day, included.",
    "model": "Name of a model: feedback on its answers alone.",
    "arm": "Name of an experiment arm: feedback on its answers alone.",
    "tenant": "Name of a tenant: its feedback alone.",
    "owner": "Name of an owner: their feedback alone.",
    "format": "`json` or `csv`. Default: `json`.",
}
"""Parameters of both questions, with their meanings."""
PAGING: Final[Mapping[str, str]] = {
    "limit": f"Entries of a page, 1 to {MAX_ROWS}. Default: {DEFAULT_LIMIT}.",
    "after": "The `next` of the page before.",
}
"""Parameters of the list alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackQuery:
    """A question about feedback.

    Attributes:
        after: the row before the page; None is the beginning.
    """

    chosen: FeedbackFilter
    is_csv: bool = False
    limit: int = DEFAULT_LIMIT
    after: Position | None = None


def parse_query(pairs: Iterable[tuple[str, str]], known: Mapping[str, str]) -> FeedbackQuery:
    """The question that parameters ask.

    Args:
        known: FILTERS, with PAGING where there are pages.

    Raises:
        InvalidRequest: a parameter is unknown, given twice, or not what it has to be.
    """
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            told = shown(name)
            raise InvalidRequest(
                f"{quoted(told)} is no parameter of this route.{near(told, known)} It has: "
                f"{', '.join(known)}.",
                param=told,
            )
        if name in given:
            raise InvalidRequest(f"{name} is given twice: give it once.", param=name)
        if not 1 <= len(value) <= MAX_VALUE_CHARS or not value.isprintable():
            raise InvalidRequest(
                f"{name} has {len(value)} characters: 1 to {MAX_VALUE_CHARS} that can be printed "
                "are needed.",
                param=name,
            )
        given[name] = value
    form = given.get("format", "json")
    if form not in {"json", "csv"}:
        raise InvalidRequest(f"format is {quoted(shown(form))}: json or csv.", param="format")
    return FeedbackQuery(
        chosen=_filter(given),
        is_csv=form == "csv",
        limit=limit_of(given.get("limit"), default=DEFAULT_LIMIT, most=MAX_ROWS),
        after=_position(given["after"]) if "after" in given else None,
    )


def cursor(position: Position) -> str:
    """The text that asks for the page after a row."""
    plain = json.dumps(list(position), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(plain).decode().rstrip("=")


def _filter(given: Mapping[str, str]) -> FeedbackFilter:
    first, last = (day_of(name, given.get(name)) for name in ("from", "to"))
    if first is not None and last is not None and first > last:
        raise InvalidRequest(
            f"from is {first}, which is after to ({last}): swap them.", param="from"
        )
    return FeedbackFilter(
        tenant=given.get("tenant"),
        owner=given.get("owner"),
        model=given.get("model"),
        arm=given.get("arm"),
        since_ms=None if first is None else _begin_ms(first),
        until_ms=None if last is None else _begin_ms(last) + 86_400_000,
    )


def _begin_ms(day: date) -> int:
    since = datetime(day.year, day.month, day.day, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(milliseconds=1)


def _position(text: str) -> Position:
    try:
        at_ms, request_id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        is_ours = type(at_ms) is int and abs(at_ms) < 2**63 and isinstance(request_id, str)
        is_ours = is_ours and b"\0" not in request_id.encode()
    except (ValueError, TypeError, binascii.Error, RecursionError):
        is_ours = False
    if not is_ours:
        raise InvalidRequest(
            "after is not the `next` of a page: send that as it came.", param="after"
        )
    return at_ms, request_id
