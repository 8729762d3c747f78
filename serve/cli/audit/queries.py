"""The flags that say which records are looked for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

from serve.errors import StartupError
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.pruning import minimum_index
from serve.governance.audit.reading.joined import CHUNKS, Entry, first_since, joined
from serve.governance.audit.reading.query import KINDS, AuditQuery
from serve.governance.audit.records.open_calls import first_to_read
from serve.suggestion import near

QUERY: Final = (*("first", "last", "event", "key", "tenant", "owner", "model", "id", "outcome"),)
"""Names of what the flags below set."""


def add_query(command: argparse.ArgumentParser) -> None:
    """Add the flags."""
    what = command.add_argument_group("which records; all that is given must hold")
    what.add_argument(
        "--from", dest="first", metavar="TIME", help="from 2026-11-01, or T12:00 (UTC)"
    )
    what.add_argument("--to", dest="last", metavar="TIME", help="to this day, included, or moment")
    what.add_argument("--event", action="append", metavar="TYPE", help="begin, end, refused, ...")
    what.add_argument("--key", metavar="ID", help="of this API key")
    what.add_argument("--tenant", metavar="NAME", help="of this tenant")
    what.add_argument("--owner", metavar="NAME", help="of this owner")
    what.add_argument("--model", metavar="NAME", help="of this model")
    what.add_argument("--id", metavar="REQUEST", help="of this request, as the caller got its id")
    what.add_argument("--outcome", metavar="WORD", help="done, interrupted, ..., or an error code")


def query_of(arguments: argparse.Namespace, *, with_pieces: bool = False) -> AuditQuery:
    """The query.

    Args:
        with_pieces: pieces of streams are found by their callers also where nobody asks for them.

    Raises:
        StartupError: a time cannot be read, nothing lies between the two, or no record is of such
            a type.
    """
    first = None if arguments.first is None else time_of(arguments.first, "--from")
    last = None if arguments.last is None else time_of(arguments.last, "--to", is_end=True)
    if first is not None and last is not None and first >= last:
        raise StartupError(
            f"--from {arguments.first} is not before the end of --to {arguments.last}: swap them."
        )
    kinds = frozenset(arguments.event or ())
    for kind in arguments.event or ():
        if kind not in KINDS:
            raise StartupError(
                f"No record is of the type --event {kind}.{near(kind, KINDS)} There are: "
                f"{', '.join(KINDS)}."
            )
    return AuditQuery(
        first=first,
        last=last,
        kinds=kinds,
        key=arguments.key,
        tenant=arguments.tenant,
        owner=arguments.owner,
        model=arguments.model,
        request_id=arguments.id,
        outcome=arguments.outcome,
        with_pieces=with_pieces or CHUNKS in kinds or arguments.id is not None,
    )


def found(log: LogFolder, query: AuditQuery) -> Iterator[Entry]:
    """Records of a log that are looked for, in order; entries before the time are passed over."""
    first = start = minimum_index(log.path)
    if query.first is not None:
        start = first_since(log, first, log.size, query.first)
    begins_at = start
    if query.names_calls and query.with_pieces:  # which say whose they are by their begins alone
        begins_at = first_to_read(lambda *part: _read(log, *part), start, first)
    for entry in joined(log, begins_at, log.size):
        if entry.index >= start and query.matches(entry):
            yield query.narrowed(entry)


def _read(log: LogFolder, start: int, end: int) -> list[bytes]:
    return [raw for _, raw in log.entries(start, end)]


def time_of(text: str, flag: str, *, is_end: bool = False) -> float:
    """Unix seconds of a day or a moment; UTC where it names no other.

    Args:
        is_end: a day is meant to its end.

    Raises:
        StartupError: it is neither.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return (moment + timedelta(days=int(is_end))).timestamp()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise StartupError(
            f"{flag} {text!r} is no day (2026-11-01) and no moment (2026-11-01T12:00)."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
