"""`audit search`: records by time, caller, model, type, request and outcome."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any, Final

from models.command_line import words_of
from models.rules.names import printable
from serve.cli.audit.logs import add_place, places
from serve.cli.audit.printing import remark
from serve.cli.audit.queries import add_query, found, query_of
from serve.errors import StartupError
from serve.governance.audit.reading.joined import Entry

DEFAULT_LIMIT: Final = 1000
EPILOG = """\
An end has the caller and the model of its begin. Searching proves nothing: `audit verify` does.

Pieces of streams (--audit-strict) are found by caller or model with --event chunks, and by --id. An
entry has those of many calls: of each the pieces that are looked for are shown, and left_out counts
the others.

with --json a line an entry: log, index, record, and of ends their begin
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "search",
        help="find records",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_place(command)
    add_query(command)
    command.add_argument(
        "--limit", type=int, default=DEFAULT_LIMIT, help="most records (%(default)s); 0: all"
    )
    command.add_argument("--json", action="store_true", help="print JSON lines")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.limit < 0:
        raise StartupError(f"--limit {arguments.limit}: 0 for all, or more.")
    query, num = query_of(arguments), 0
    for place in places(arguments):
        try:
            for entry in found(place.opened(), query):
                if arguments.limit and num == arguments.limit:
                    remark(f"There are more than {num}: raise --limit, or ask for less.")
                    return 0
                num += 1
                print(document(place.name, entry) if arguments.json else _line(place.name, entry))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StartupError(f"{place.path}: {words_of(error)}.") from None
    if not num:
        remark("Nothing is found.")
    return 0


def document(log: str, entry: Entry) -> str:
    """An entry as a line of JSON."""
    values = {"log": log, "index": entry.index, "record": entry.record}
    if entry.begin is not None:
        values["begin"] = entry.begin
    if entry.num_left_out:
        values["left_out"] = entry.num_left_out
    if not entry.record:
        values["raw"] = entry.raw.decode("utf-8", "replace")
    return json.dumps(values)


def _changed(record: Mapping[str, Any]) -> list[str]:
    """The settings whose files changed."""
    files = record.get("files")
    return list(map(str, files)) if isinstance(files, dict) and record.get("event") else []


def _route(entry: Entry) -> str | None:
    """The route of a call that ran nothing: of others the rest says enough."""
    return entry.part("call", "route") if entry.kind == "call" else None


def _line(log: str, entry: Entry) -> str:
    """An entry as a line for people."""
    record = entry.record
    tokens = record.get("tokens")
    num_tokens = sum(tokens.get(name, 0) for name in ("prompt", "completion")) if tokens else None
    parts = [
        *(entry.part("who", name) for name in ("tenant", "owner", "key", "user")),
        entry.part("model", "name"),
        record.get("id"),
        record.get("outcome"),
        record.get("error"),
        record.get("act"),
        record.get("event"),
        _route(entry),
        *entry.details,
        *_changed(record),
        f"{num_tokens} tokens" if num_tokens is not None else None,
    ]
    at, kind = printable(entry.at[:23]), printable(entry.kind) or "(no record)"
    told = "  ".join(printable(str(part)) for part in parts if part)
    return f"{log} {entry.index:>8}  {at:<23}  {kind:<12}  {told}"
