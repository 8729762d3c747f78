"""`python -m serve feedback list|counts|forget`: feedback on answers, for operators."""

from __future__ import annotations

import argparse
import asyncio
import json
import textwrap
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from rich.table import Table

from models.cli import output
from models.rules.names import printable
from serve.cli.flags import Parser, parse_with
from serve.composition.audit_acts import acting
from serve.composition.feedback import feedback_key
from serve.composition.usage import reading_place
from serve.config import Config
from serve.config_sources import load_config
from serve.errors import InvalidRequest, StartupError
from serve.governance.feedback.book import FeedbackBook
from serve.governance.feedback.csv_form import counts_csv, counts_json, entries_csv
from serve.governance.feedback.feedback import MILLI, StoredFeedback, iso_time
from serve.governance.feedback.query import FILTERS, FeedbackQuery, parse_query
from serve.setting_names import flag_of
from serve.storage.configured import place_of
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.feedback_values import MAX_ROWS
from serve.storage.probing import probe_database

SETTINGS: Final = ("state_dir", "database_url_file", "feedback_key_file")
CHOICES: Final = ("from", "to", "model", "arm", "tenant", "owner")
EPILOG: Final = """\
The database is the one that a server with the same settings writes: of --database-url-file, or
STATE_DIR/intramural.db. Texts are shown with --feedback-key-file, under which they were kept.

examples:
  python -m serve feedback counts --from 2026-11-01
  python -m serve feedback list --model demo --csv
  python -m serve feedback forget --tenant research --owner ann

exit codes: 0 done; 2 the arguments cannot be used, or there is no database
"""


def run_feedback(argv: Sequence[str]) -> int:
    """Run one of the feedback commands; returns the exit code.

    Raises:
        StartupError: it cannot be done.
    """
    output.accept_any_name()
    arguments = parse_with(parser(), argv)
    if arguments.do == "forget" and not (arguments.tenant and arguments.owner):
        raise StartupError("forget deletes the feedback of one owner: --tenant and --owner.")
    given = {name: value for name in CHOICES if (value := getattr(arguments, name, None))}
    try:
        query = parse_query(given.items(), FILTERS)
    except InvalidRequest as error:
        raise StartupError(f"--{error.param}: {error.message}") from None
    flags = {name: value for name in SETTINGS if (value := getattr(arguments, name))}
    flags["usage_ledger"] = True  # whatever it is that keeps one
    config = load_config(flags, file=arguments.config)
    try:
        asyncio.run(_run(config, arguments, query))
    except StoreUnavailable as error:
        raise StartupError(f"{place_of(config)} does not answer: {error}.") from None
    return 0


def parser() -> Parser:
    """The parser of these commands."""
    root = Parser(
        prog="python -m serve feedback",
        description=__doc__,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = root.add_subparsers(dest="do", required=True, metavar="list|counts|forget")
    told = {
        "list": "all feedback, oldest first",
        "counts": "how much there is, and how good, by model and experiment arm",
        "forget": "delete all feedback of one owner",
    }
    for name, meaning in told.items():
        command = commands.add_parser(name, help=meaning)
        for choice in CHOICES if name != "forget" else ("tenant", "owner"):
            command.add_argument(f"--{choice}", help=FILTERS[choice])
        if name != "forget":
            form = command.add_mutually_exclusive_group()
            form.add_argument("--json", action="store_true", help="print JSON")
            form.add_argument("--csv", action="store_true", help="print CSV")
        command.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
        for setting in SETTINGS:
            command.add_argument(flag_of(setting), type=Path, metavar="PATH", help="as the server")
    return root


async def _run(config: Config, arguments: argparse.Namespace, query: FeedbackQuery) -> None:
    async with _opened(config) as book:
        if arguments.do == "forget":
            whose = {"tenant": query.chosen.tenant or "", "owner": query.chosen.owner or ""}
            async with acting(config, "feedback.forget", whose) as became:
                became["deleted"] = count = await book.forget(**whose)
            print(f"deleted {count:,} pieces of feedback")
        elif arguments.do == "counts":
            found = await book.counts(query.chosen)
            counts = [counts_json(one) for one in found]
            if arguments.csv:
                print(counts_csv(found), end="")
            elif arguments.json:
                print(json.dumps(counts, ensure_ascii=False, indent=1))
            else:
                _show(counts)
        else:
            pages = _pages(book, query)
            if arguments.csv:
                await _print_csv(pages)
            elif arguments.json:
                await _print_json(pages)
            else:
                sealed = "(under another key)" if config.feedback_key_file else "(no key named)"
                _show([_line(entry, sealed) async for page in pages for entry in page])


async def _pages(
    book: FeedbackBook, query: FeedbackQuery
) -> AsyncIterator[Sequence[StoredFeedback]]:
    """All pages, one after the other; at least one, which may be empty."""
    after = None
    while True:
        entries, after = await book.page(query.chosen, limit=MAX_ROWS, after=after)
        yield entries
        if after is None:
            return


async def _print_csv(pages: AsyncIterator[Sequence[StoredFeedback]]) -> None:
    """Print pages as one table: an export may have more rows than fit in memory."""
    has_header = False
    async for page in pages:
        text = entries_csv(page)
        print(text.split("\r\n", 1)[1] if has_header else text, end="")
        has_header = True


async def _print_json(pages: AsyncIterator[Sequence[StoredFeedback]]) -> None:
    """Print pages as one array."""
    is_empty = True
    async for page in pages:
        for entry in page:
            print("[" if is_empty else ",")
            told = json.dumps(entry.as_json(), ensure_ascii=False, indent=1)
            print(textwrap.indent(told, " ", lambda _line: True), end="")
            is_empty = False
    print("[]" if is_empty else "\n]")


@asynccontextmanager
async def _opened(config: Config) -> AsyncIterator[FeedbackBook]:
    from serve.storage.database import Database  # noqa: PLC0415 - imported once it is needed

    place = place_of(config)
    state = probe_database(place)
    if state is None or state.revision is None:
        raise StartupError(
            f"{place} has no tables. Name its folder by --state-dir, or a server by "
            "--database-url-file."
        )
    if state.revision != state.newest:
        raise StartupError(
            f"{place} is of revision {state.revision}, and this version works with "
            f"{state.newest}. Run `python -m serve storage migrate`."
        )
    database = Database(reading_place(place))
    try:
        yield FeedbackBook(database, feedback_key(config))
    finally:
        await database.close()


def _line(entry: StoredFeedback, sealed: str) -> dict[str, object]:
    """The columns of an entry that fit on a terminal; ``sealed`` for a text that does not open."""
    return {
        "given (UTC)": iso_time(entry.created_at_ms)[:16].replace("T", " "),
        "owner": f"{entry.tenant}/{entry.owner}",
        "model": entry.model,
        "arm": entry.arm,
        "score": entry.score_milli / MILLI,
        "labels": ", ".join(entry.labels),
        "text": sealed if entry.has_text and entry.text is None else entry.text,
    }


def _show(rows: Sequence[dict[str, object]]) -> None:
    """A table; control characters of others' texts are not printed."""
    if not rows:
        print("There is no feedback.")
        return
    table = Table(*rows[0], box=None, padding=(0, 1, 0, 0))
    for row in rows:
        told = ("" if value is None else printable(str(value)) for value in row.values())
        table.add_row(*told)
    output.console().print(table, markup=False)
