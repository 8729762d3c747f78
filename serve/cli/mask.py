"""`python -m serve mask FILE`: try the rules of masking on a text, and see what they hit."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from models.cli import output
from serve.cli.flags import Parser
from serve.cli.text_input import read_text
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.governance.masking.detectors.catalogue import DETECTORS
from serve.governance.masking.masking_file import read_rules
from serve.governance.masking.normalised import table
from serve.governance.masking.pseudonyms import Pseudonyms
from serve.governance.masking.replacing import Replacing, scanner_of
from serve.governance.masking.rules import Rule, RuleSet
from serve.governance.masking.stream import BlockedError, masked
from serve.governance.masking.trial import Place, Trial, tried

BENCH_BYTES = 4 << 20
EPILOG = """\
The masked text goes to stdout and the table of hits to stderr; no value is shown unless --show is
given. Without a masking file, here or in the settings, every detector masks. Where a rule blocks,
its label stands in the text. Nothing is sent anywhere, no model is loaded.

examples:
  python -m serve mask letter.txt
  python -m serve mask - --masking-file masking.toml --tenant research --json < letter.txt
  python -m serve mask letter.txt --bench            how fast the rules are on this text

exit codes: 0 nothing blocks the text; 1 a rule blocks it; 2 the arguments or rules cannot be used
"""


def run_mask(argv: Sequence[str]) -> int:
    """Try the rules, print what they make of the text, and return the exit code."""
    arguments = _parser().parse_args(list(argv))
    rules = _rules(arguments.masking_file, arguments.tenant)
    text = read_text(arguments.file)
    if arguments.bench:
        return _bench(text, rules)
    trial = tried(text, rules)
    if arguments.json:
        print(json.dumps(_document(trial, shows=arguments.show), ensure_ascii=False, indent=1))
    else:
        sys.stdout.write(trial.text)
        sys.stdout.flush()
        output.console(stderr=True).print(_table(trial.hits, shows=arguments.show))
    return int(trial.blocked_by is not None)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m serve mask",
        description=__doc__,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="the text, UTF-8; - reads it from stdin")
    parser.add_argument("--masking-file", type=Path, help="the rules; those of the settings if not")
    parser.add_argument("--tenant", help="whose rules; those by default if not")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--show", action="store_true", help="print what was found, too")
    parser.add_argument("--bench", action="store_true", help="print the speed alone")
    return parser


def _rules(path: Path | None, tenant: str | None) -> RuleSet:
    path = path or load_config({}).masking_file
    if path is not None:
        rules = read_rules(path)
        if tenant is not None and tenant not in rules.tenants:
            output.console(stderr=True).print(
                f"The file has no table for {tenant!r}: its rules are those by default."
            )
        return rules.default if tenant is None else rules.of(tenant)
    if tenant is not None:
        raise StartupError("--tenant needs a masking file: name one with --masking-file.")
    every = [Rule(name=name, action="mask", detectors=own) for name, own in DETECTORS.items()]
    return RuleSet(rules=tuple(every))


def _document(trial: Trial, *, shows: bool) -> dict[str, Any]:
    hits = []
    for hit in trial.hits:
        row: dict[str, Any] = {"rule": hit.rule, "action": hit.action, "line": hit.line}
        row |= {"column": hit.column, "characters": hit.size}
        hits.append(row | ({"value": hit.value} if shows else {}))
    return {"text": trial.text, "hits": hits, "blocked_by": trial.blocked_by}


def _table(hits: Sequence[Place], *, shows: bool) -> Table:
    shown = ("value",) if shows else ()
    rows = Table("rule", "action", "line", "column", "characters", *shown, box=None)
    for hit in hits:
        cells = (hit.rule, hit.action, str(hit.line), str(hit.column), str(hit.size))
        rows.add_row(*map(Text, (*cells, *((hit.value,) if shows else ()))))
    if not hits:
        rows.add_row(Text("nothing hit", style="dim"))
    return rows


def _bench(text: str, rules: RuleSet) -> int:
    """Print megabytes of UTF-8 that one core masks in a second."""
    size = len(text.encode())
    if not size:
        raise StartupError("The text is empty: there is nothing to measure.")
    table()
    text *= max(1, -(-BENCH_BYTES // size))
    hits: list[Rule] = []
    scanner, replacing = scanner_of(rules), Replacing(rules, Pseudonyms(), hits.append)
    began = time.process_time()
    try:
        masked(text, scanner, replacing)
    except BlockedError as error:
        raise StartupError(f"The rule {error.rule!r} blocks the text: measure another.") from None
    seconds = time.process_time() - began
    size = len(text.encode())
    print(f"{size / seconds / 1e6:.2f} MB/s: {size} bytes, {len(hits)} hits")
    return 0
