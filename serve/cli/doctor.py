"""`python -m serve doctor`: checks of this machine or of a deployment, and what to do."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence

from rich.status import Status
from rich.table import Table
from rich.text import Text

from models.cli import output
from serve.cli.flags import add_settings, parse_with, settings, subparser
from serve.config_sources import load_config
from serve.doctor.checks import examine_deployment, examine_machine
from serve.doctor.deployment import Deployment
from serve.doctor.egress import parse_probe
from serve.doctor.finding import Finding, Level
from serve.doctor.machine import this_machine
from serve.environment import client_api_key, harden_environment

MARKS: dict[Level, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "skipped": ("-", "dim"),
    "warning": ("warning", "yellow"),
    "failure": ("failure", "red"),
}
EPILOG = """\
Without --url this machine is checked, for a server with the given settings: flags, environment
and --config file as for `python -m serve`. Nothing is sent anywhere, no model is loaded.
With --url a running deployment is asked for its probes, models and metrics, with the key in
OPENAI_API_KEY. No text is generated.

examples:
  python -m serve doctor --model qwen2.5-7b --api-key-file keys.json
  python -m serve doctor --probe-egress 192.0.2.1:443       try a connection out; no byte is sent
  python -m serve doctor --url https://llm.corp.example --json

exit codes: 0 no failure; 1 a failure (with --strict also a warning); 2 the arguments cannot be used
"""


def run_doctor(argv: Sequence[str]) -> int:
    """Run the checks, print the findings, and return the exit code."""
    parser = subparser("doctor", __doc__ or "", EPILOG)
    parser.usage = f"{parser.prog} [--url URL] [--probe-egress ADDRESS:PORT] [--json] [SETTINGS]"
    group = parser.add_argument_group("what to check")
    group.add_argument("--url", help="check this deployment instead of this machine")
    group.add_argument(
        "--probe-egress",
        metavar="ADDRESS:PORT",
        help="try one connection to an address that would answer, for 3 s at most",
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument("--strict", action="store_true", help="exit with 1 on warnings, too")
    add_settings(parser)
    arguments = parse_with(parser, argv)
    console = output.console(stderr=True)
    with console.status("checking") as status:
        findings = list(_examine(arguments, status))
    if arguments.json:
        rows = [finding.as_json(name) for name, finding in findings]
        document = {"subject": arguments.url or "this machine", "findings": rows}
        document["ok"] = not _has_failed(findings, is_strict=arguments.strict)
        print(json.dumps(document, indent=1))
    else:
        output.console().print(table(findings))
    return int(_has_failed(findings, is_strict=arguments.strict))


def table(findings: Sequence[tuple[str, Finding]]) -> Table:
    """The findings as a table; the advice stands below the summary."""
    rows = Table("", "check", "finding", box=None, padding=(0, 1))
    for name, finding in findings:
        word, style = MARKS[finding.level]
        text = Text(finding.summary, style="dim" if finding.level == "skipped" else "")
        if finding.advice:
            text.append(f"\n→ {finding.advice}", style=style)
        rows.add_row(Text(word, style=style), name, text)
    return rows


def _examine(arguments: argparse.Namespace, status: Status) -> Iterator[tuple[str, Finding]]:
    if arguments.url is not None:
        with Deployment(arguments.url, client_api_key()) as deployment:
            yield from examine_deployment(deployment)
        return
    if arguments.probe_egress is not None:
        parse_probe(arguments.probe_egress)  # before anything is looked at
    config = load_config(settings(arguments), file=arguments.config)
    harden_environment()

    def progress(phase: str, done: int, total: int) -> None:
        status.update(f"{phase}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    yield from examine_machine(
        this_machine(config, probe=arguments.probe_egress, progress=progress)
    )


def _has_failed(findings: Sequence[tuple[str, Finding]], *, is_strict: bool) -> bool:
    bad = {"failure", "warning"} if is_strict else {"failure"}
    return any(finding.level in bad for _, finding in findings)
