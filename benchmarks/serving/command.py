"""`python -m benchmarks serving`: load on one OpenAI-compatible server, ours or not."""

from __future__ import annotations

import argparse
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from benchmarks.direct_http import direct
from benchmarks.metrics.request import Targets
from benchmarks.report.document import Row
from benchmarks.report.output import add_output, deliver, document_of, refusals
from benchmarks.report.steps import Steps
from benchmarks.serving import datasets, levels, load
from benchmarks.serving.arrivals import PATTERNS
from benchmarks.serving.client import Endpoint, stream
from benchmarks.serving.datasets import DATASETS, Shape
from benchmarks.serving.load import Level
from models.cli.options import Commands, command
from serve.environment import client_api_key

_EPILOG = """
    examples:
      python -m benchmarks serving --concurrency 1 8 32                  closed loop
      python -m benchmarks serving --rate 4 --pattern poisson --slo ttft=500 tpot=50
      python -m benchmarks serving --rate 1 --sweep --out bench-out      doubles until saturated
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

    exit codes: 0 measured, 1 no request was answered, 2 refused
"""
_PROBE_WORDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The measurement of each level."""

    endpoint: Endpoint
    dataset: str
    shape: Shape
    targets: Targets
    rounds: int


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
    add("--sweep", action="store_true", help="double the first level until the server is saturated")
    add("--max-levels", type=int, default=8, help="of a sweep (default: %(default)s)")
    add("--requests", type=int, metavar="N", help="per level (default: 8 s of the rate, or 8 each)")
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


def targets_of(words: Sequence[str]) -> Targets:
    """Read targets such as ``ttft=500``, in milliseconds.

    Raises:
        ValueError: another name, or no number above 0.
    """
    targets = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            milliseconds = float(value)
        except ValueError:
            milliseconds = 0.0
        if name not in ("ttft", "tpot", "e2e") or milliseconds <= 0:
            raise ValueError(f"--slo {word}: ttft=MS, tpot=MS and e2e=MS are known")
        targets[f"{name}_s"] = milliseconds / 1e3
    return Targets(**targets)


def levels_of(options: argparse.Namespace) -> list[Level]:
    """The levels that were asked for; of a sweep the first alone."""
    count, timeout_s = options.requests, options.timeout
    if options.dataset == "replay":
        return [Level(count=count or 1_000_000, timeout_s=timeout_s)]
    if options.rate:
        if min(options.rate) <= 0:
            raise ValueError(
                f"--rate has {min(options.rate):g}; a rate must be above 0 requests per second."
            )
        return [
            Level(
                count=count or max(8, round(8 * rate)),
                rate=rate,
                pattern=options.pattern,
                timeout_s=timeout_s,
            )
            for rate in options.rate
        ]
    concurrencies = options.concurrency or [1, 8, 32]
    if min(concurrencies) < 1:
        raise ValueError(
            f"--concurrency has {min(concurrencies)}; at least 1 request must be in flight."
        )
    return [
        Level(count=count or 8 * concurrency, concurrency=concurrency, timeout_s=timeout_s)
        for concurrency in concurrencies
    ]


def _run(options: argparse.Namespace) -> int:
    with refusals():
        wanted = levels_of(options)
        endpoint = Endpoint.parse(options.url, client_api_key())
        model = options.model or first_model(endpoint)
        shape = Shape(
            model=model,
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
            targets=targets_of(options.slo),
            rounds=options.rounds,
        )
        rows, notes = _climb(plan, wanted, options)
        code = deliver(
            document_of(
                "serving",
                options,
                settings={
                    "url": endpoint.url,
                    "dataset": options.dataset,
                    "targets_ms": dict(word.split("=") for word in options.slo),
                },
                rows=rows,
                notes=notes,
            ),
            options,
        )
        return code if any(row.median("requests_s") for row in rows) else 1


def _climb(
    plan: Plan, wanted: Sequence[Level], options: argparse.Namespace
) -> tuple[list[Row], list[str]]:
    walk = levels.climb(wanted[0], options.max_levels) if options.sweep else iter(wanted)
    steps = Steps((options.max_levels if options.sweep else len(wanted)) * plan.rounds)
    rows: list[Row] = []
    notes: list[str] = []
    for level in walk:
        rounds = []
        for number in range(plan.rounds):
            steps.begin(level.label)
            planned = datasets.requests(plan.dataset, plan.shape, options.seed + number)
            traces, client = uvloop.run(load.run(plan.endpoint, level, planned))
            if not traces:
                raise ValueError(f"--file {plan.shape.path}: no requests in it")
            rounds.append(levels.figures(traces, plan.targets))
            errors = sorted({trace.error for trace in traces if trace.error})
            notes += [f"{level.label}: {error}" for error in errors[:3]]
            if client.is_bottleneck:
                notes.append(f"{level.label}: DO NOT TRUST, {client}")
        rows.append(levels.row(plan.shape.model, options.name, level, rounds, client))
        if options.sweep and levels.is_saturated(rows):
            notes.append(f"saturated at {level.label}")
            break
    steps.end()
    if any(row.median("spread_share") for row in rows):
        notes.append("ITL: chunks held several tokens; their gaps are spread over them")
    return rows, list(dict.fromkeys(notes))


def first_model(endpoint: Endpoint) -> str:
    """The first that the server lists.

    Raises:
        ValueError: it lists none, or does not answer.
    """
    request = urllib.request.Request(f"{endpoint.url}/models")  # noqa: S310 - http(s), by parse
    if endpoint.api_key:
        request.add_header("Authorization", f"Bearer {endpoint.api_key}")
    try:
        with direct.open(request, timeout=10) as response:
            return str(json.load(response)["data"][0]["id"])
    except (urllib.error.URLError, OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{endpoint.url}/models: {error}. Is the server up, the key in OPENAI_API_KEY? "
            "Else name the model with --model"
        ) from None


async def words_per_token(endpoint: Endpoint, shape: Shape) -> float:
    """The number of our words for one token of this server's tokenizer, by one short request.

    Raises:
        ValueError: it was not answered.
    """
    probe = replace(shape, input_tokens=_PROBE_WORDS, output_tokens=1, spread=0.0)
    body = next(datasets.requests("synthetic", probe, 0)).body
    num_words = len(body["messages"][0]["content"].split())
    trace = await stream(endpoint, endpoint.request(body), timeout_s=120)
    if trace.error is not None or not trace.prompt_tokens:
        raise ValueError(f"{endpoint.url}: a first request was not answered: {trace.error}")
    return num_words / trace.prompt_tokens
