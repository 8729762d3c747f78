"""`python -m serve evidence`: one signed folder of what this deployment is, for an auditor."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from models.cli import output
from serve.cli.flags import add_settings, parse_with, settings, subparser
from serve.config_sources import load_config
from serve.environment import harden_environment
from serve.evidence.collecting import collect
from serve.evidence.folder import write
from serve.evidence.part import Part, State
from serve.evidence.signing import signer_of

STYLES: dict[State, str] = {"whole": "green", "partly": "yellow", "missing": "red"}
EPILOG = """\
The settings are those of the server, from the same flags, environment and --config file. Nothing
is sent anywhere but to the stores that the settings name, which the doctor asks whether they
answer. No server has to run. Every file of the model is hashed, and every audit log is verified.

A part that cannot be had is named as missing in the folder: evidence that hides what it lacks is
none. The folder is checked with the program that lies in it, which needs Python alone, and the
public key, which the auditor is given by another way:

  python3 verify_evidence.py FOLDER --key PUBLIC_KEY

A trace of connections is made beforehand, for the whole of a server's start and of some requests:

  strace -f -e trace=connect,sendto,sendmsg,sendmmsg -o trace.txt python -m serve ...

examples:
  python -m serve evidence --out evidence-2026-11 --config server.toml --key audit.key
  python -m serve evidence --out evidence --model qwen2.5-7b --egress-trace trace.txt --json

with --json one object on stdout: folder, index_sha256, public_key, parts [name, state, summary]

exit codes: 0 written, and every part is whole or missing; 1 written, and something is wrong: a file
that differs, a log that does not hold, a failed check, a connection beyond loopback; 2 the
arguments cannot be used, or nothing could be written
"""


def run_evidence(argv: Sequence[str]) -> int:
    """Write a folder of evidence; returns the exit code."""
    parser = subparser("evidence", __doc__ or "", EPILOG)
    parser.usage = f"{parser.prog} --out DIR [--key FILE] [--egress-trace FILE] [SETTINGS]"
    _add_flags(parser)
    add_settings(parser)
    arguments = parse_with(parser, argv)
    config = load_config(settings(arguments), file=arguments.config)
    harden_environment()
    signer = signer_of(arguments.key, config)
    parts: list[Part] = []
    with output.console(stderr=True).status("collecting") as status:

        def progress(phase: str, done: int, total: int) -> None:
            status.update(f"{phase}: {done:,} of {total:,}")

        for part in collect(config, arguments.egress_trace, progress):
            parts.append(part)
            status.update(f"{part.name}: {part.state}")
        digest = write(arguments.out, parts, signer)
    if arguments.json:
        rows = [{"name": p.name, "state": p.state, "summary": p.summary} for p in parts]
        document = {"folder": str(arguments.out), "index_sha256": digest}
        print(json.dumps(document | {"public_key": signer.verifier_key, "parts": rows}, indent=1))
    else:
        console = output.console()
        console.print(table(parts))
        console.print(f"{arguments.out}: signed by {signer.verifier_key}", soft_wrap=True)
    return int(any(part.state == "partly" for part in parts))


def _add_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to write")
    group.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    group.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="private key for notes (`serve audit key`); default: the log's in --audit-dir",
    )
    group.add_argument(
        "--egress-trace", type=Path, metavar="FILE", help="connections, as strace wrote them"
    )
    group.add_argument("--json", action="store_true", help="print JSON")


def table(parts: Sequence[Part]) -> Table:
    """The parts, and how whole they are."""
    rows = Table("part", "", "", box=None, padding=(0, 1))
    for part in parts:
        rows.add_row(part.name, Text(part.state, style=STYLES[part.state]), Text(part.summary))
    return rows
