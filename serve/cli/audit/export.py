"""`audit export`: records as JSON lines or CSV, with the content key also prompts and answers."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from models import durable
from serve.cli.audit.acts import add_record_dir, reading
from serve.cli.audit.logs import LogPlace, add_place, places
from serve.cli.audit.printing import remark
from serve.cli.audit.queries import QUERY, add_query, found, query_of
from serve.cli.audit.search import document
from serve.errors import StartupError
from serve.governance.audit.content.content_keys import read_content_keys
from serve.governance.audit.reading import csv_rows
from serve.governance.audit.reading.contents import ContentGoneError, Contents
from serve.governance.audit.reading.joined import Entry, piece_notes

EPILOG = """\
A line an entry: log, index, record; of ends also begin; with --content-key-file also content, which
is the prompt of a begin, the answer of an end, a list of the pieces of chunks, or {"gone": why}
where it was erased or pruned. Who holds that file reads all contents: nobody else does, and root
does not by being root. That they are read is recorded before, in the log `cli`; of a copy that
cannot be written it is recorded in the log of --record-dir.

Of an entry of pieces (--audit-strict) those are in it whose calls are looked for by caller, model
or id; left_out counts the others. Pieces whose begin was pruned are nobody's.

The file is made with mode 600 and is there whole, or not at all.
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "export",
        help="write records as JSON lines or CSV, also with contents",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_place(command)
    add_query(command)
    command.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    command.add_argument("--csv", action="store_true", help="CSV, without contents")
    command.add_argument(
        "--content-key-file", type=Path, metavar="FILE", help="the file of --audit-content-key-file"
    )
    add_record_dir(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.record_dir and not arguments.content_key_file:
        raise StartupError("--record-dir goes with --content-key-file: else nothing is recorded.")
    if arguments.csv and arguments.content_key_file:
        raise StartupError("CSV has no contents: leave out --csv, or --content-key-file.")
    query, num, gone = query_of(arguments, with_pieces=True), 0, Counter[str]()
    keys = arguments.content_key_file and read_content_keys(arguments.content_key_file)
    chosen = places(arguments)
    with _recorded(chosen, arguments), _output(arguments.out) as out:
        if arguments.csv:
            out.write(csv_rows.header())
        for place in chosen:
            contents = Contents(place.path, keys) if keys else None
            for entry in found(place.opened(), query):
                num += 1
                if arguments.csv:
                    out.write(csv_rows.row(place.name, entry))
                else:
                    out.write(f"{_line(place, entry, contents, gone)}\n")
    if arguments.out is not None:
        remark(f"{arguments.out}: {num:,} entries")
    if gone:
        remark(f"{gone.total():,} contents are not in it: {gone.most_common(1)[0][0]}.")
    return 0


@contextmanager
def _recorded(chosen: Sequence[LogPlace], arguments: argparse.Namespace) -> Iterator[None]:
    """Record that contents are about to be read: by whom, and which. Else nothing is read."""
    if arguments.content_key_file is None:
        yield
        return
    asked = {name: getattr(arguments, name) for name in QUERY if getattr(arguments, name)}
    details = {"logs": [place.name for place in chosen], "query": asked}
    with reading(chosen[0].path.parent, arguments.record_dir, "audit.export", details):
        yield


def _line(place: LogPlace, entry: Entry, contents: Contents | None, gone: Counter[str]) -> str:
    """An entry's line; why its content is not in it is counted in ``gone``."""
    line = document(place.name, entry)
    if contents is None:
        return line
    content: Any
    if isinstance(note := entry.record.get("content"), dict):
        content = _content(contents, note, gone)
    elif notes := piece_notes(entry):
        content = [_content(contents, note, gone) for note in notes]
    else:
        return line
    return f'{line[:-1]}, "content": {json.dumps(content)}}}'


def _content(contents: Contents, note: dict[str, Any], gone: Counter[str]) -> Any:
    try:
        return contents.document(note)
    except ContentGoneError as error:
        gone[str(error)] += 1
        return {"gone": str(error)}


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a private file that is put in place when all of it was written."""
    if path is None:
        yield sys.stdout
        return
    new = durable.new_name(path)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        new.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(new, flags, 0o600), "w", encoding="utf-8", newline="") as file:
                yield file
                file.flush()
                durable.sync(file.fileno())
            durable.put_in_place(new, path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {error.strerror or error}.") from None
