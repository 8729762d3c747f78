"""`python -m serve storage backup|restore|check|migrate`: the database, for operators."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from models.cli import output
from models.command_line import words_of
from serve.cli.flags import Parser
from serve.composition.audit_acts import acting_in_turn
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.storage.backup import Contents, ProgressOfRows, back_up, restore
from serve.storage.checking import check
from serve.storage.configured import place_of
from serve.storage.migrating import migrate
from serve.storage.places import Place, SqliteFile

LINE_S = 5.0
"""Seconds between two lines of progress where there is no terminal."""
EPILOG = """\
The database is the one that a server with the same settings uses: of --database-url-file, or
STATE_DIR/intramural.db. A backup is one file, gzip of JSON lines with row counts and a SHA-256,
made while servers run, and restored into either kind of database: also to move from a file to a
server. It holds key ids, names, limits, usage and feedback (texts encrypted), no key and no prompt;
its mode is 600.

examples:
  python -m serve storage backup /backup/monday.jsonl.gz
  python -m serve storage check --json
  python -m serve storage restore /backup/monday.jsonl.gz --database-url-file url.txt
  python -m serve storage migrate --database-url-file owner-url.txt

with --json one object on stdout:
  backup, restore   revision, made_at, source, rows, num_bytes
  check             place, kind, revision, rows, faults
  migrate           before (null: there were no tables), after

exit codes: 0 done, or nothing is wrong; 1 check found faults; 2 it cannot be done: the message
says why; 130 interrupted
"""


def run_storage(argv: Sequence[str]) -> int:
    """Run one of the storage commands; returns the exit code.

    Raises:
        StartupError: it cannot be done.
    """
    arguments = parser().parse_args(list(argv))
    given = {name: getattr(arguments, name) for name in ("database_url_file", "state_dir")}
    set_here = {name: path for name, path in given.items() if path is not None}
    config = load_config(set_here, file=arguments.config)
    place = place_of(config)
    if arguments.command not in {"restore", "migrate"}:
        return int(arguments.run(place, arguments))
    details = {"place": str(place), "file": str(arguments.file) if "file" in arguments else None}
    with acting_in_turn(config, f"storage.{arguments.command}", details):
        return int(arguments.run(place, arguments))


def parser() -> Parser:
    """The parser of these commands."""
    root = Parser(
        prog="python -m serve storage",
        description=__doc__,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = root.add_subparsers(
        dest="command", required=True, metavar="backup|restore|check|migrate"
    )
    write = commands.add_parser("backup", help="write all rows to one file, while servers run")
    write.set_defaults(run=_back_up)
    write.add_argument("file", type=Path, metavar="FILE", help="is made; none may be there")
    read = commands.add_parser("restore", help="fill an empty database from such a file")
    read.set_defaults(run=_restore)
    read.add_argument("file", type=Path, metavar="FILE", help="that `backup` wrote")
    read.add_argument(
        "--replace", action="store_true", help="remove the rows that are in the database"
    )
    look = commands.add_parser("check", help="what is in the database, and what is wrong with it")
    look.set_defaults(run=_check)
    renew = commands.add_parser("migrate", help="make the tables, or bring them up to date")
    renew.set_defaults(run=_migrate)
    for command in (write, read, look, renew):
        command.add_argument("--json", action="store_true", help="print JSON")
        command.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
        command.add_argument(
            "--database-url-file", type=Path, metavar="FILE", help="default: the setting's"
        )
        command.add_argument("--state-dir", type=Path, metavar="DIR", help="default: the setting's")
    return root


def _back_up(place: Place, arguments: argparse.Namespace) -> int:
    _refuse_missing(place)
    with _explained(arguments.file), _progress("backing up") as progress:
        contents = back_up(place, arguments.file, progress)
    _tell(contents, f"{arguments.file} is a backup", as_json=arguments.json)
    return 0


def _restore(place: Place, arguments: argparse.Namespace) -> int:
    with _explained(arguments.file), _progress("restoring") as progress:
        contents = restore(place, arguments.file, progress, replaces=arguments.replace)
    _tell(contents, f"restored {arguments.file}", as_json=arguments.json)
    return 0


def _check(place: Place, arguments: argparse.Namespace) -> int:
    _refuse_missing(place)
    report = check(place)
    if arguments.json:
        print(json.dumps(asdict(report)))
        return 1 if report.faults else 0
    print(f"{report.place}: {report.kind}, revision {report.revision or 'none'}")
    _print_rows(report.rows)
    for fault in report.faults:
        print(f"fault: {fault}")
    return 1 if report.faults else 0


def _migrate(place: Place, arguments: argparse.Namespace) -> int:
    done = migrate(place)
    if arguments.json:
        print(json.dumps(asdict(done)))
    elif done.before == done.after:
        print(f"revision {done.after} already: nothing to do")
    else:
        print(f"revision {done.before or 'none'} → {done.after}")
    return 0


def _tell(contents: Contents, what: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**asdict(contents), "rows": dict(contents.rows)}))
        return
    print(
        f"{what}: {sum(contents.rows.values()):,} rows of {contents.source}, {contents.made_at}, "
        f"revision {contents.revision}, {contents.num_bytes:,} bytes"
    )
    _print_rows(contents.rows)


def _print_rows(rows: Any) -> None:
    if not rows:
        return
    table = Table("table", "rows")
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    output.console().print(table)


def _refuse_missing(place: Place) -> None:
    """Make no empty database only to look at it."""
    if isinstance(place, SqliteFile) and not place.path.exists():
        raise StartupError(
            f"{place} is not there. Name it by --state-dir, or a server by --database-url-file."
        )


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartupError(f"{file}: {words_of(error)}.") from None


@contextmanager
def _progress(what: str) -> Iterator[ProgressOfRows]:
    """Rows on stderr: one line that changes on a terminal, else a line every few seconds."""
    console = output.console(stderr=True)
    last = time.monotonic()

    def told(table: str, done: int, total: int) -> str:
        return f"{what} {table}: {done:,}" + (f" of {total:,} rows" if total else " rows")

    if not console.is_terminal:

        def line(table: str, done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= LINE_S:
                last = time.monotonic()
                print(told(table, done, total), file=sys.stderr, flush=True)

        yield line
        return
    with console.status(what) as status:
        yield lambda table, done, total: status.update(told(table, done, total))
