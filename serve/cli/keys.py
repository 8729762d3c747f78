"""`python -m serve keys create|list|revoke`: API keys, shown once and never stored."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from models import command_line
from models.cli import output
from models.rules.names import printable
from serve.cli.flags import Parser
from serve.config import Config
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.governance import keys


def run_keys(argv: Sequence[str]) -> int:
    """Run one of the keys commands; returns the exit code."""
    arguments = _parser().parse_args(list(argv))
    file: Path = arguments.file or _default_file()
    if arguments.command == "create":
        return _create(file, arguments)
    if arguments.command == "revoke":
        keys.revoke(file, arguments.id)
        print(f"revoked {arguments.id}; a running server notices within a second")
        return 0
    return _list(file, as_json=arguments.json)


def _default_file() -> Path:
    config: Config = load_config({})
    return config.api_key_file or config.state_dir / "keys.json"


def _parser() -> Parser:
    parser = Parser(prog="python -m serve keys", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="create|list|revoke")
    create = commands.add_parser("create", help="make a key and print it, once")
    create.add_argument("--name", default="", help="whose it is; shown in `list`, never to clients")
    create.add_argument("--expires-in-days", type=int, metavar="N", help="default: never")
    create.add_argument("--json", action="store_true", help="print JSON")
    listing = commands.add_parser("list", help="show the keys' ids, names and states; no secrets")
    listing.add_argument("--json", action="store_true", help="print JSON")
    revoke = commands.add_parser("revoke", help="disable a key by its id")
    revoke.add_argument("id", help="the part of the key between `sk-` and the dot")
    for command in (create, listing, revoke):
        command.add_argument(
            "--file",
            type=Path,
            help="key file (default: --api-key-file's setting, else the state directory)",
        )
    return parser


def _create(file: Path, arguments: argparse.Namespace) -> int:
    expires_at = None
    if arguments.expires_in_days is not None:
        expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=arguments.expires_in_days)
    if command_line.stdout_is_closed():
        raise StartupError("Standard output is closed, so a key could not be shown: none was made.")
    key = keys.create(file, name=arguments.name, expires_at=expires_at)
    try:
        print(json.dumps({"key": key, "file": str(file)}) if arguments.json else key, flush=True)
    except OSError as error:
        keys.remove(file, key)
        raise StartupError(
            f"The new key could not be shown ({error.strerror}), so it was taken back. "
            "Run it again."
        ) from None
    if arguments.json:
        return 0
    console = output.console(stderr=True)
    for line in (
        f"This is the only time the key is shown. Its hash is in {file}.",
        f"Serve with it: python -m serve --api-key-file {shlex.quote(str(file))}",
    ):
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
    return 0


def _list(file: Path, *, as_json: bool) -> int:
    entries = keys.list_keys(file)
    if as_json:
        print(json.dumps([entry.as_json() for entry in entries]))
        return 0
    table = Table("id", "name", "created", "expires", "state")
    for entry in entries:
        expires = entry.expires_at.date().isoformat() if entry.expires_at else "never"
        # Not as markup, and without control characters: the file may be of another hand.
        cells = (entry.key_id, entry.name, entry.created_at.date().isoformat(), expires)
        table.add_row(*(Text(printable(cell)) for cell in cells), entry.state)
    output.console().print(table)
    return 0
