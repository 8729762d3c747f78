"""The command line of audit logs: a parser for each command, and the choice between them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from models.cli import output
from serve.cli.audit import compare, erase, export, key, prove, prune, search, verdicts, witness
from serve.cli.flags import Parser
from serve.errors import StartupError
from serve.suggestion import near

Run = Callable[[argparse.Namespace], int]

COMMANDS = (
    *("verify", "search", "export", "prove", "compare", "witness"),
    *("erase", "prune", "key"),
)
EPILOG = """\
All of it works on folders, without the server: also on a copy, on an auditor's machine. DIR is the
folder of --audit-dir with the logs of all replicas, or one log's own; without it, the setting's.

A log that verifies is what its key signed, and whoever holds that key could have written it anew.
A witness is what holds it against the operator: a second party, with a key and a memory of its own,
that signs growth and nothing else (`audit witness --help`).

examples:
  python -m serve audit verify /var/lib/intramural/audit --log-key log.pub --witness-key witness.pub
  python -m serve audit search --tenant research --from 2026-11-01 --outcome interrupted
  python -m serve audit prove req-5f1c --out answer
  python -m serve audit prove --check answer-17.tlog-proof --entry answer-17.json --log-key log.pub

exit codes: 0 done, and nothing is wrong; 1 something is: a bad entry, a refusal, a proof that does
not hold; 2 it cannot be done: the message says why; 130 interrupted
"""


def run_audit(argv: Sequence[str]) -> int:
    """Run one of the audit commands; returns the exit code.

    Raises:
        StartupError: it cannot be done.
    """
    output.accept_any_name()
    root = parser()
    arguments, unknown = root.parse_known_args(list(argv))
    if unknown:
        word = unknown[0].split("=", 1)[0]
        known = [f"--{name.replace('_', '-')}" for name in vars(arguments)]
        raise StartupError(f"unknown argument {word!r}.{near(word, known)} See --help.")
    run: Run = arguments.run
    return run(arguments)


def parser() -> Parser:
    """The parser of these commands."""
    root = Parser(
        prog="python -m serve audit",
        description="Verify, search, export, prove, compare, witness and prune audit logs.",
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS))
    for module in (verdicts, search, export, prove, compare, witness, erase, prune, key):
        module.add(commands)
    return root
