"""A question about usage, from its parameters as they were written. HTTP and the command line ask
with the same names.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, cast

from models.rules.names import quoted
from serve.errors import InvalidRequest
from serve.governance.query_values import day_of, limit_of, shown
from serve.storage.usage_sums import DIMENSIONS, MAX_GROUPS, Dimension
from serve.suggestion import near

DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 366
DEFAULT_LIMIT: Final = 100
MAX_VALUE_CHARS: Final = 256
MAX_CURSOR_CHARS: Final = 2048
PARAMETERS: Final[Mapping[str, str]] = {
    "from": "First day, YYYY-MM-DD in the budgets' time zone. Default: 29 days before `to`.",
    "to": "Last day, included. Default: today.",
    "group_by": f"Names out of {', '.join(DIMENSIONS)}, separated by commas. Default: `day`.",
    "key": "Id of a key: its usage alone.",
    "model": "Name of a model: its usage alone.",
    "format": "`json` or `csv`; without it the header Accept decides. Default: `json`.",
    "limit": f"Groups of a page, 1 to {MAX_GROUPS}. Default: {DEFAULT_LIMIT}.",
    "after": "The `next` of the page before.",
}
"""Parameters of every question, with their meanings."""
ADMIN_PARAMETERS: Final[Mapping[str, str]] = {
    "tenant": "Name of a tenant: its usage alone.",
    "owner": "Name of an owner: their usage alone.",
}
"""Parameters that only administrators have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """A question about usage.

    Attributes:
        first: first day; None is DEFAULT_DAYS before the last.
        last: last day, included; None is today.
        after: the values and the currency of the group before the page; None is the beginning.
    """

    first: date | None = None
    last: date | None = None
    group_by: tuple[Dimension, ...] = ("day",)
    tenant: str | None = None
    owner: str | None = None
    key: str | None = None
    model: str | None = None
    limit: int = DEFAULT_LIMIT
    after: tuple[str, ...] | None = None

    def days(self, today: date) -> tuple[date, date]:
        """The first and the last day.

        Raises:
            InvalidRequest: the first is after the last, or there are too many between them.
        """
        last = self.last or today
        first = self.first or last - timedelta(days=min(DEFAULT_DAYS - 1, last.toordinal() - 1))
        if first > last:
            raise InvalidRequest(
                f"from is {first}, which is after to ({last}): swap them.", param="from"
            )
        num_days = (last - first).days + 1
        if num_days > MAX_DAYS:
            raise InvalidRequest(
                f"from {first} to {last} is {num_days} days: at most {MAX_DAYS}. Ask for less at "
                "once.",
                param="from",
            )
        return first, last


def parse_query(pairs: Iterable[tuple[str, str]], *, is_admin: bool) -> tuple[UsageQuery, str]:
    """The question that parameters ask, and the format they name; empty where they name none.

    Raises:
        InvalidRequest: a parameter is unknown, given twice, or not what it has to be.
    """
    known = {**PARAMETERS, **(ADMIN_PARAMETERS if is_admin else {})}
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise InvalidRequest(_unknown(name, known, is_admin=is_admin), param=shown(name))
        if name in given:
            raise InvalidRequest(f"{name} is given twice: give it once.", param=name)
        given[name] = _text(name, value)
    group_by = _dimensions(given["group_by"]) if "group_by" in given else ("day",)
    query = UsageQuery(
        first=day_of("from", given.get("from")),
        last=day_of("to", given.get("to")),
        group_by=group_by,
        tenant=given.get("tenant"),
        owner=given.get("owner"),
        key=given.get("key"),
        model=given.get("model"),
        limit=limit_of(given.get("limit"), default=DEFAULT_LIMIT, most=MAX_GROUPS),
        after=_position(given["after"], group_by) if "after" in given else None,
    )
    form = given.get("format", "")
    if form not in {"", "json", "csv"}:
        raise InvalidRequest(f"format is {quoted(form[:60])}: json or csv.", param="format")
    return query, form


def cursor(group_by: Iterable[Dimension], position: Iterable[str]) -> str:
    """The text that asks for the page after a group, given by its values and its currency."""
    plain = json.dumps([list(group_by), list(position)], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(plain).decode().rstrip("=")


def _position(text: str, group_by: tuple[Dimension, ...]) -> tuple[str, ...]:
    try:
        plain = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        names, values = plain
        is_ours = (
            names == list(group_by)
            and len(values) == len(group_by) + 1
            and all(isinstance(value, str) and b"\0" not in value.encode() for value in values)
        )
    except (ValueError, TypeError, binascii.Error, RecursionError):
        is_ours = False
    if not is_ours:
        raise InvalidRequest(
            "after is not the `next` of a page with the same group_by: send that as it came.",
            param="after",
        )
    return tuple(values)


def _unknown(name: str, known: Mapping[str, str], *, is_admin: bool) -> str:
    if not is_admin and name in ADMIN_PARAMETERS:
        return f"{name} is a parameter of /admin/usage: here are the caller's own figures."
    told = f"{quoted(shown(name))} is no parameter of this route.{near(name[:60], known)}"
    return f"{told} It has: {', '.join(known)}."


def _text(name: str, value: str) -> str:
    most = MAX_CURSOR_CHARS if name == "after" else MAX_VALUE_CHARS
    if not value or len(value) > most or not value.isprintable():
        raise InvalidRequest(
            f"{name} has {len(value)} characters: 1 to {most} that can be printed are needed.",
            param=name,
        )
    return value


def _dimensions(text: str) -> tuple[Dimension, ...]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in DIMENSIONS:
            raise InvalidRequest(
                f"group_by names {quoted(name[:60])}.{near(name[:60], DIMENSIONS)} It takes names "
                f"out of {', '.join(DIMENSIONS)}, separated by commas.",
                param="group_by",
            )
    if len(set(names)) != len(names):
        raise InvalidRequest("group_by names something twice: name it once.", param="group_by")
    return cast("tuple[Dimension, ...]", tuple(names))
