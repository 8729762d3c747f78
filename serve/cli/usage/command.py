"""The command line of usage reports."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from models.cli import output
from serve.cli.chat.server import AskError, Server, base_of, key_from
from serve.cli.flags import Parser
from serve.cli.usage import sources
from serve.cli.usage.display import shown
from serve.config_sources import load_config
from serve.errors import InvalidRequest, StartupError
from serve.governance.usage.csv_form import to_csv
from serve.governance.usage.query import UsageQuery, parse_query
from serve.governance.usage.reports import UsageReport
from serve.setting_names import flag_of
from serve.suggestion import near

DEFAULT_LIMIT: Final = 1000
MAX_LIMIT: Final = 100_000
SETTINGS: Final = ("state_dir", "database_url_file", "limits_file")
FILTERS: Final = ("key", "model", "tenant", "owner")
EPILOG = """\
Without --url the database is read that a server with the same settings writes to (--config,
--state-dir, --database-url-file, or their environment): everybody's usage. With --url a server is
asked, with the key in OPENAI_API_KEY: for the key's own usage, or with --all for everybody's, which
needs the scope admin.

examples:
  python -m serve usage --by model --from 2026-11-01
  python -m serve usage --by day,owner --tenant research --csv
  python -m serve usage --url https://llm.corp.example --all --by tenant --json

exit codes: 0 reported; 1 the server refuses or does not answer; 2 the arguments cannot be used, or
there is no database
"""


def run_usage(argv: Sequence[str]) -> int:
    """Print a report; returns the exit code."""
    output.accept_any_name()
    arguments = _parse(argv)
    asked = _asked(arguments)
    try:
        query, _ = parse_query(asked.items(), is_admin=arguments.url is None or arguments.all)
        report = asyncio.run(_report(arguments, asked, query))
    except InvalidRequest as error:
        raise StartupError(f"{_flag(error.param)}: {error.message}") from None
    except AskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    _print(report, arguments)
    if report.next is not None:
        print(
            f"There are more groups than {arguments.limit}: raise --limit, or ask for less.",
            file=sys.stderr,
        )
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    arguments, unknown = parser.parse_known_args(list(argv))
    if unknown:
        word = unknown[0].split("=", 1)[0]
        known = [flag for action in parser._actions for flag in action.option_strings]  # noqa: SLF001
        raise StartupError(f"unknown argument {word!r}.{near(word, known)} See --help.")
    if not 1 <= arguments.limit <= MAX_LIMIT:
        raise StartupError(f"--limit {arguments.limit}: 1 to {MAX_LIMIT} groups are printed.")
    given = [flag_of(name) for name in ("config", *SETTINGS) if getattr(arguments, name)]
    if arguments.url is not None and given:
        raise StartupError(f"--url asks a server, {given[0]} is of a database: take one of them.")
    if arguments.url is None and (arguments.all or arguments.key_file):
        raise StartupError("--all and --key-file are for a server: add --url.")
    return arguments


def _parser() -> Parser:
    parser = Parser(
        prog="python -m serve usage",
        description="Report usage: requests, tokens and money of the ledger, as table and bars.",
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to report")
    what.add_argument("--by", metavar="NAMES", help="day, model, key, tenant, owner (default: day)")
    what.add_argument("--from", dest="first", metavar="DAY", help="first day, such as 2026-11-01")
    what.add_argument("--to", dest="last", metavar="DAY", help="last day, included (today)")
    what.add_argument("--key", metavar="ID", help="of this key alone")
    what.add_argument("--model", metavar="NAME", help="of this model alone")
    what.add_argument("--tenant", metavar="NAME", help="of this tenant alone")
    what.add_argument("--owner", metavar="NAME", help="of this owner alone")
    what.add_argument("--limit", type=int, default=DEFAULT_LIMIT, help="most groups (%(default)s)")
    how = parser.add_argument_group("how to print it").add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print JSON, as the server answers")
    how.add_argument("--csv", action="store_true", help="print CSV")
    how.add_argument(
        "--plot",
        choices=("tokens", "requests", "cost"),
        default="tokens",
        help="what the bars are of (%(default)s)",
    )
    where = parser.add_argument_group("where it is from")
    where.add_argument("--url", help="ask this server instead of a database")
    where.add_argument("--all", action="store_true", help="everybody's usage, with --url")
    where.add_argument("--key-file", type=Path, metavar="FILE", help="file of the API key alone")
    where.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
    for name in SETTINGS:
        where.add_argument(flag_of(name), type=Path, metavar="PATH", help="as the server has it")
    return parser


def _asked(arguments: argparse.Namespace) -> dict[str, str]:
    """The parameters of the routes that the flags mean."""
    given: dict[str, Any] = {
        "group_by": arguments.by,
        "from": arguments.first,
        "to": arguments.last,
    }
    given |= {name: getattr(arguments, name) for name in FILTERS}
    return {name: value for name, value in given.items() if value is not None}


def _flag(parameter: str | None) -> str:
    """The flag of a route's parameter."""
    return {"group_by": "--by"}.get(str(parameter), f"--{parameter}")


async def _report(
    arguments: argparse.Namespace, asked: dict[str, str], query: UsageQuery
) -> UsageReport:
    if arguments.url is None:
        flags = {name: value for name in SETTINGS if (value := getattr(arguments, name))}
        config = load_config(flags, file=arguments.config)
        return await sources.from_database(config, query, limit=arguments.limit)
    path = sources.EVERYONE if arguments.all else sources.OWN
    with Server(base_of(arguments.url), key_from(arguments.key_file)) as server:
        return await sources.from_server(server, asked, query, path=path, limit=arguments.limit)


def _print(report: UsageReport, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(report.as_json(), ensure_ascii=False, indent=1))
    elif arguments.csv:
        print(to_csv(report), end="")
    else:
        output.console().print(shown(report, arguments.plot))
