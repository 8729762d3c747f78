"""`python -m benchmarks trial`: a model of the user's own, from its folder to answers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import machine, workbench
from benchmarks.child import StartError
from benchmarks.options import ENGINES, add_schemes
from benchmarks.report.output import REFUSED, refusals
from benchmarks.report.steps import Steps
from benchmarks.trial import checks, serving, table
from benchmarks.trial.asking import Asker
from benchmarks.trial.findings import Check, Findings, Outcome, judged
from benchmarks.trial.serving import ServerOptions
from models import store
from models.cli import output
from models.cli.options import Commands, command
from models.durable import write_whole
from models.refs import QuantScheme
from serve.engine import placement

SCHEMA = "intramural.trial/1"
NOT_RIGHT = 1
_EPILOG = """
    examples:
      python -m benchmarks trial /models/Qwen2.5-7B-Instruct
      python -m benchmarks trial qwen2.5-7b --quant none int8 int4 --engine transformers vllm
      python -m benchmarks trial ./tuned --quant none int4 --serve "--max-model-len 8192"

    Starts `python -m serve` on loopback, once for each engine and scheme; quantised weights are
    made and kept as that does. Asks in English and Chinese, by chat where the model has a template,
    else by completion; with tools where the template renders them; after a fact at the beginning of
    a long prompt. Looks at streams, counts, quality and speed, and holds each scheme against the
    full weights of the same run.

    exit codes: 0 all is as it should be, 1 something is not, 2 refused
"""
_WIDTH = 120


def add_command(commands: Commands) -> None:
    """Add `trial`."""
    parser = command(
        commands,
        "trial",
        text="a model of your own, served with each scheme and asked: does it all work",
        run=_run,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name or a folder, as --model of the server takes it")
    add_schemes(parser, ["none", "int8", "int4"], "schemes to serve, of %(choices)s")
    add(
        "--engine",
        nargs="+",
        choices=ENGINES,
        default=["transformers"],
        metavar="ENGINE",
        help="engines to serve on, of %(choices)s (default: transformers)",
    )
    add(
        "--long",
        type=int,
        default=6000,
        metavar="TOKENS",
        help="of the long prompt; 0 leaves it out (default: %(default)s)",
    )
    add(
        "--start-timeout",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="until a server is ready, quantising included (default: %(default)g)",
    )
    add("--serve", default="", metavar="FLAGS", help="more flags of `python -m serve`, quoted")
    add("--out", type=Path, metavar="DIR", help="also write trial.json there")


def _run(options: argparse.Namespace) -> int:
    with refusals():
        artifact = store.resolve(options.model, options.data_dir)
        servers = [
            ServerOptions(
                model=options.model,
                engine=engine,
                scheme=scheme,
                data_dir=options.data_dir,
                logs=workbench.cache() / "logs",
                more=serving.flags(options.serve),
                start_timeout_s=options.start_timeout,
            )
            for engine in options.engine
            for scheme in sorted(options.quant, key=lambda scheme: scheme != "none")
        ]
        all_found = try_all(servers, options.long)
        document = to_json(artifact.name, options.command_line, all_found)
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            write_whole(options.out / "trial.json", document.encode() + b"\n")
    console = output.console(stderr=options.json)
    if not console.is_terminal:
        console.width = _WIDTH
    if not options.json:
        console.print(table.table(artifact.name, all_found))
    for note in table.notes(all_found):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    print(document)
    if all(findings.refused for findings in all_found):
        return REFUSED
    return 0 if all(findings.is_right for findings in all_found) else NOT_RIGHT


def try_all(servers: Sequence[ServerOptions], long_tokens: int) -> list[Findings]:
    """Serve and ask each in turn, with progress on stderr.

    Args:
        servers: the full weights before what is held against them.
        long_tokens: of the long prompt.
    """
    steps = Steps(len(servers) * (len(checks.all_checks()) + 1))
    all_found: list[Findings] = []
    for server in servers:
        full = [findings for findings in all_found if findings.is_full and not findings.refused]
        same = [findings for findings in full if findings.engine == server.engine]
        findings = _tried(server, long_tokens, steps)
        all_found.append(judged(findings, next(iter(same + full), None)))
    steps.end()
    return all_found


def _tried(server: ServerOptions, long_tokens: int, steps: Steps) -> Findings:
    """Start one server and examine it; a start that fails is a finding too."""
    name = f"{server.engine} {server.scheme}"
    steps.begin(f"{name}: start")
    refusal = placement.refused(QuantScheme(server.scheme), server.engine, "auto")
    if refusal is not None:
        steps.fewer(len(checks.all_checks()))
        return Findings(engine=server.engine, scheme=server.scheme, refused=str(refusal))
    try:
        with serving.started(server, lambda phase: steps.note(f"{name}: {phase}")) as up:
            findings = examine(up.url, server.engine, server.scheme, long_tokens, steps)
    except StartError as error:
        steps.fewer(len(checks.all_checks()))
        detail = f"{error} (log: {server.log})"
        failed = Check(name="start", outcome=Outcome.FAULT, detail=detail)
        return Findings(engine=server.engine, scheme=server.scheme, checks=[failed])
    return replace(findings, figures={"start_s": up.start_s, **findings.figures})


def examine(
    url: str, engine: str, scheme: str, long_tokens: int, steps: Steps | None = None
) -> Findings:
    """Run all checks on a server that is up."""
    state = checks.TrialState(scheme=scheme, long_tokens=long_tokens)
    found_checks: list[Check] = []
    with Asker(url) as asker:
        for name, inspect in checks.all_checks():
            if steps is not None:
                steps.begin(f"{engine} {scheme}: {name}")
            found_checks += checks.run_check(name, inspect, asker, state)
    return Findings(
        engine=engine,
        scheme=scheme,
        card=state.card,
        checks=found_checks,
        figures=state.figures,
        next_tokens=state.next_tokens,
    )


def to_json(model: str, command_line: Sequence[str], all_found: Sequence[Findings]) -> str:
    """One line."""
    document: Mapping[str, Any] = {
        "schema": SCHEMA,
        "made_at": machine.now_utc(),
        "command": machine.command_line(command_line),
        "machine": machine.describe(),
        "model": model,
        "is_right": all(findings.is_right for findings in all_found),
        "servers": [asdict(findings) for findings in all_found],
    }
    return json.dumps(document, allow_nan=False)
