"""`python -m benchmarks serving`: load on one OpenAI-compatible server, ours or not."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.report import output
from benchmarks.report.document import Document, Row
from benchmarks.report.output import REFUSABLE, add_output, deliver, document_of, refusals
from benchmarks.report.steps import Steps
from benchmarks.serving import datasets, load, walk
from benchmarks.serving.arrivals import PATTERNS
from benchmarks.serving.client import Endpoint
from benchmarks.serving.datasets import DATASETS, Shape
from benchmarks.serving.first_requests import first_model, words_per_token
from benchmarks.serving.load import Level
from benchmarks.serving.measuring import Book, sweep_closed, sweep_open
from benchmarks.serving.wanted import check, levels_of, targets_of
from benchmarks.serving.watch import ClientLoad
from benchmarks.stopping import StoppedError, stoppable
from benchmarks.trace import Trace
from models import command_line
from models.cli.options import Commands, command
from serve.environment import client_api_key

_EPILOG = """
    examples:
      python -m benchmarks serving --concurrency 1 8 32                  closed loop
      python -m benchmarks serving --rate 4 --pattern poisson --slo ttft=500 tpot=50
      python -m benchmarks serving --rate 1 --sweep --out bench-out      finds the capacity
      python -m benchmarks serving --url https://host/v1 --dataset conversations --file talks.jsonl
      python -m benchmarks serving --dataset replay --file recorded.jsonl

    data sets:
      synthetic      --input and --output tokens that share nothing
      shared-prefix  nine tenths of each prompt are the same
      long-context   one prompt in eight is eight times as long
      tools          a third each: plain, with a tool, with a JSON answer asked for
      conversations  a JSONL file, as ShareGPT's or with "messages"
      replay         a JSONL file of {"at_s", "input_tokens", "output_tokens"}, sent when they were

    The key is taken from OPENAI_API_KEY. Tokens are the server's own count (`usage`), never chunks.
    The last line of stdout is the report as JSON: docs/benchmarks.md.

    What was measured until Ctrl-C or SIGTERM is reported; --out has it after every level.

    exit codes: 0 measured, 1 no request was answered, 2 refused, 130 and 143 ended by a signal
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The requests of every level, and where they go."""

    endpoint: Endpoint
    dataset: str
    shape: Shape

    def send(self, level: Level) -> tuple[list[Trace], ClientLoad]:
        """All requests of a level, to their ends.

        Raises:
            ValueError: a file has none.
        """
        planned = datasets.requests(self.dataset, self.shape, level.seed)
        traces, client = uvloop.run(load.run(self.endpoint, level, planned))
        if not traces:
            raise ValueError(f"--file {self.shape.path}: no requests in it")
        return traces, client


def add_command(commands: Commands) -> None:
    """Add `serving`."""
    parser = command(
        commands,
        "serving",
        text="load on an OpenAI-compatible server: latency, throughput, goodput, refusals",
        run=_run,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--url", default="http://127.0.0.1:8000", help="of the server (default: %(default)s)")
    add("--model", help="to ask for (default: the first that the server lists)")
    add("--name", default="server", help="what the report calls the server")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--rate", type=float, nargs="+", metavar="PER_S", help="open loop: requests per second"
    )
    how.add_argument(
        "--concurrency", type=int, nargs="+", metavar="N", help="closed loop: requests in flight"
    )
    add("--pattern", choices=PATTERNS, default="poisson", help="of an open loop (poisson)")
    add(
        "--sweep",
        action="store_true",
        help="find the capacity: from the first level up, and then between",
    )
    add("--max-levels", type=int, default=20, help="of a sweep (default: %(default)s)")
    add(
        "--level-seconds",
        type=float,
        default=120,
        metavar="SECONDS",
        help="most for sending the requests of a sweep's level (default: %(default)s)",
    )
    add(
        "--requests",
        type=int,
        metavar="N",
        help="per level (default: 8 s of the rate, or 8 each; of a sweep, what judging it needs)",
    )
    add("--rounds", type=int, default=1, help="of each level, for its noise (default: 1)")
    add("--dataset", choices=[*DATASETS], default="synthetic")
    add("--file", type=Path, metavar="JSONL", help="for conversations and replay")
    add("--input", type=int, default=128, metavar="TOKENS", help="of a prompt, about (128)")
    add("--output", type=int, default=64, metavar="TOKENS", help="of an answer (64)")
    add("--spread", type=float, default=0.0, help="lengths vary by this share, 0 to 1 (0)")
    add("--no-ignore-eos", action="store_true", help="for servers that do not know that field")
    add(
        "--slo",
        nargs="+",
        default=[],
        metavar="NAME=MS",
        help="targets for goodput: ttft=500 tpot=50 e2e=5000",
    )
    add("--timeout", type=float, default=600, metavar="SECONDS", help="for one request (600)")
    add("--seed", type=int, default=0)
    add_output(parser)


def _run(options: argparse.Namespace) -> int:
    with refusals():
        wanted = levels_of(options)
        targets = targets_of(options.slo)
        check(options)
        output.check(options)
        endpoint = Endpoint.parse(options.url, client_api_key())
        shape = Shape(
            model=options.model or first_model(endpoint),
            input_tokens=options.input,
            output_tokens=options.output,
            spread=options.spread,
            is_exact=not options.no_ignore_eos,
            path=options.file,
        )
        per_token = uvloop.run(words_per_token(endpoint, shape))
        plan = Plan(
            endpoint=endpoint,
            dataset=options.dataset,
            shape=replace(shape, words_per_token=per_token),
        )
        book = Book(
            model=shape.model,
            system=options.name,
            targets=targets,
            seed=options.seed,
            rounds=options.rounds,
            send=plan.send,
        )
        output.set_aside("serving", options)
        return _measured(book, wanted, endpoint, options)


def _measured(
    book: Book, wanted: Sequence[Level], endpoint: Endpoint, options: argparse.Namespace
) -> int:
    """Measure and report; what was measured until Ctrl-C, SIGTERM or an error is reported, too."""
    settings: dict[str, Any] = {
        "url": endpoint.url,
        "dataset": options.dataset,
        "seed": options.seed,
        "targets_ms": dict(word.split("=") for word in options.slo),
    }

    def report() -> Document:
        notes = list(dict.fromkeys(book.notes))
        return document_of("serving", options, settings=settings, rows=book.rows, notes=notes)

    steps = Steps(None if options.sweep else len(wanted) * options.rounds)
    book.on_step = steps.begin
    book.on_row = lambda: output.keep(report(), options)
    code = 0
    try:
        with stoppable():
            _levels(book, wanted, options)
    except StoppedError as stopped:
        code = stopped.code
        book.notes.append(f"ended by {stopped.name}: this is what was measured until then")
    except REFUSABLE as error:
        if book.rows:
            book.notes.append(f"ended by an error: {command_line.words_of(error)}")
            steps.end()
            deliver(report(), options)
        raise
    steps.end()
    book.rows.sort(key=_load_of)
    if options.sweep and book.rows:
        found = walk.capacity(book.rows)
        settings |= found.facts()
        book.notes.append(str(found))
    if any(row.median("spread_share") for row in book.rows):
        book.notes.append("ITL: chunks held several tokens; their gaps are spread over them")
    if code and not book.rows:
        command_line.complain("ended before a level was measured: there is nothing to report")
        return code
    deliver(report(), options)
    return code or (0 if any(row.median("requests_s") for row in book.rows) else 1)


def _levels(book: Book, wanted: Sequence[Level], options: argparse.Namespace) -> None:
    first = wanted[0]
    if not options.sweep:
        for level in wanted:
            book.take(level)
    elif first.rate is not None:
        sweep_open(
            book,
            first,
            num_requests=options.requests,
            most_levels=options.max_levels,
            most_s=options.level_seconds,
        )
    else:
        sweep_closed(book, first, num_requests=options.requests, most_levels=options.max_levels)


def _load_of(row: Row) -> float:
    return row.facts.get("offered_requests_s", row.facts.get("offered_concurrency", 0.0))
