"""Flags of the keys commands."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serve.cli.flags import Parser
from serve.errors import StartupError
from serve.governance.identity.key_changes import DEFAULT_OVERLAP, DEFAULT_SCOPES, MAX_OVERLAP
from serve.governance.limit_names import LIMIT_NAMES
from serve.governance.principal import ALL_SCOPES

_MAX_HOURS = MAX_OVERLAP.total_seconds() / 3600
_MAX_DAYS = 36_500
COMMANDS = "create|list|show|rotate|revoke|limits|preset"
_ID = "the part of the key between `sk-` and the dot; of a whole key nothing else is taken"
_LIMITS = f"NAME is one of {', '.join(LIMIT_NAMES)}"


def _key_id(text: str) -> str:
    """The id; also of a whole key: who has to end one that leaked pastes it as it was found."""
    text = text.strip()
    return text[3:].partition(".")[0] if text.startswith("sk-") else text


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 <= hours <= _MAX_HOURS:
        raise argparse.ArgumentTypeError(f"{text} is not within 0 to {_MAX_HOURS:g} hours")
    return hours


def _days(text: str) -> int:
    if not text.isdecimal() or int(text[:9]) > _MAX_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to {_MAX_DAYS}")
    return int(text)


def parsed(argv: Sequence[str], description: str | None) -> argparse.Namespace:
    """The arguments of `python -m serve keys`.

    Raises:
        StartupError: they do not do. Where only their order is wrong it says the right one.
    """
    found = parser(description)
    arguments, rest = found.parse_known_args(list(argv))
    if not rest:
        return arguments
    if arguments.command == "limits" and all(not text.startswith("-") for text in rest):
        limits = shlex.join([*arguments.limit, *rest])
        raise StartupError(
            f"{shlex.join(rest)} comes after a flag: give all limits at once, straight after the "
            f"id, and the flags after them: keys limits {arguments.id} {limits} --..."
        )
    raise StartupError(f"unrecognized arguments: {' '.join(rest)}")


def _create_parser(commands: Any) -> Any:
    create = commands.add_parser("create", help="make a key and print it, once")
    create.add_argument("--name", default="", help="whose it is; shown in `list`, never to clients")
    create.add_argument("--tenant", help="whose data its data are (default: its own, of its id)")
    create.add_argument("--owner", default="", help="the user of the tenant, for reports")
    create.add_argument(
        "--scope",
        action="extend",
        nargs="+",
        choices=sorted(ALL_SCOPES),
        help=f"what it may do (default: {' '.join(DEFAULT_SCOPES)})",
    )
    create.add_argument(
        "--model", action="extend", nargs="+", metavar="NAME", help="models it may ask (all)"
    )
    create.add_argument(
        "--limit", action="extend", nargs="+", metavar="NAME=VALUE", help=f"its limits; {_LIMITS}"
    )
    create.add_argument(
        "--preset", default="", metavar="NAME", help="of its requests that choose none (none)"
    )
    create.add_argument("--expires-in-days", type=_days, metavar="N", help="default: never")
    return create


def parser(description: str | None) -> Parser:
    """The parser of `python -m serve keys`."""
    found = Parser(prog="python -m serve keys", description=description, allow_abbrev=False)
    commands = found.add_subparsers(dest="command", required=True, metavar=COMMANDS)
    create = _create_parser(commands)
    listing = commands.add_parser("list", help="show ids, names, tenants, states; no secrets")
    show = commands.add_parser("show", help="show all of one key but its secrets")
    rotate = commands.add_parser("rotate", help="give a key a new secret, and print that, once")
    rotate.add_argument(
        "--overlap-hours",
        type=_hours,
        metavar="N",
        help="how long the old secret is good, too "
        f"(default: {DEFAULT_OVERLAP.total_seconds() / 3600:g}; 0 ends it now)",
    )
    revoke = commands.add_parser("revoke", help="disable a key by its id, for good")
    limits = commands.add_parser("limits", help="show a key's limits, or change them")
    preset = commands.add_parser("preset", help="show a key's preset, or change it")
    for command in (show, rotate, revoke, limits, preset):
        command.add_argument("id", type=_key_id, help=_ID)
    limits.add_argument(
        "limit", nargs="*", metavar="NAME=VALUE", help=f"{_LIMITS}; VALUE none takes it away"
    )
    preset.add_argument(
        "preset", nargs="?", metavar="NAME", help="a preset of the server's; none takes it away"
    )
    for command in (create, listing, show, rotate, limits, preset):
        _add_places(command, pepper="as the server has it")
    _add_places(revoke, pepper="not needed: hashes stay as they are")
    return found


def _add_places(command: argparse.ArgumentParser, *, pepper: str) -> None:
    """Add the flags that all commands have."""
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument(
        "--file",
        type=Path,
        help="key file (default: --api-key-file's setting, else the state directory)",
    )
    command.add_argument(
        "--database", action="store_true", help="the keys in the database of the settings"
    )
    command.add_argument(
        "--database-url-file", type=Path, metavar="FILE", help="default: the setting's"
    )
    command.add_argument("--key-pepper-file", type=Path, metavar="FILE", help=pepper)
    command.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
