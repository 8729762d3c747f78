"""`python -m serve filter FILE`: try the rules of the content filter on a text."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from models.cli import output
from models.rules.names import quoted
from serve.cli.flags import Parser
from serve.cli.text_input import read_text
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.governance.filtering.filter_file import read_filter
from serve.governance.filtering.rules import RuleSet
from serve.governance.filtering.trial import Place, tried

MAX_ROWS = 1000
"""Most hits of the table; JSON has all of them."""
EPILOG = """\
All hits are listed, in order, with the rules' actions; no text is shown unless --show is given.
A server ends an answer at its first hit of a rule that blocks, and refuses a prompt that has one.
Nothing is sent anywhere, no model is loaded.

examples:
  python -m serve filter letter.txt --content-filter-file filter.toml
  python -m serve filter - --tenant clinic --on output --json < answer.txt

exit codes: 0 nothing blocks the text; 1 a rule blocks it; 2 the arguments or rules cannot be used
"""


def run_filter(argv: Sequence[str]) -> int:
    """Try the rules, print where they hit the text, and return the exit code."""
    arguments = _parser().parse_args(list(argv))
    rules = _rules(arguments.content_filter_file)
    if arguments.tenant is not None and arguments.tenant not in rules.tenants:
        output.console(stderr=True).print(
            Text(f"The file says nothing of {arguments.tenant!r}: its rules are everybody's.")
        )
    own = rules.of(arguments.tenant or "", arguments.on)
    hits = tried(read_text(arguments.file), own)
    blocked_by = next((hit.rule.name for hit in hits if hit.rule.action == "block"), None)
    if arguments.json:
        rows = [_row(hit, shows=arguments.show) for hit in hits]
        document = {"version": rules.version, "hits": rows, "blocked_by": blocked_by}
        print(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        console = output.console()
        console.print(_table(hits, shows=arguments.show))
        if len(hits) > MAX_ROWS:
            console.print(f"and {len(hits) - MAX_ROWS} more: --json has all")
    return int(blocked_by is not None)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m serve filter",
        description=__doc__,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="the text, UTF-8; - reads it from stdin")
    parser.add_argument(
        "--content-filter-file", type=Path, help="the rules; those of the settings if not"
    )
    parser.add_argument("--tenant", help="whose rules; those for everybody if not")
    parser.add_argument(
        "--on", choices=("input", "output"), help="rules for prompts, or for answers; all if not"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--show", action="store_true", help="print what was hit, too")
    return parser


def _rules(path: Path | None) -> RuleSet:
    path = path or load_config({}).content_filter_file
    if path is None:
        raise StartupError("There are no rules: name a file with --content-filter-file.")
    return read_filter(path)


def _row(hit: Place, *, shows: bool) -> dict[str, Any]:
    rule = hit.rule
    row: dict[str, Any] = {
        "rule": rule.name,
        "version": rule.version,
        "category": rule.category,
        "action": rule.action,
        "on": sorted(rule.on),
        "line": hit.line,
        "column": hit.column,
        "characters": len(hit.value),
    }
    return row | ({"value": hit.value} if shows else {})


def _table(hits: Sequence[Place], *, shows: bool) -> Table:
    names = ("rule", "action", "on", "line", "column", "characters")
    shown = (*names, "value") if shows else names
    table = Table(*shown, box=None)
    for hit in hits[:MAX_ROWS]:
        row = _row(hit, shows=shows) | {"on": ", ".join(sorted(hit.rule.on))}
        row["value"] = quoted(hit.value)
        table.add_row(*(Text(str(row[name])) for name in shown))
    if not hits:
        table.add_row(Text("nothing hit", style="dim"))
    return table
