"""The load that options of `serving` ask for: levels, targets, and what is refused."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.metrics.request import Targets
from benchmarks.serving.load import Level


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


def check(options: argparse.Namespace) -> None:
    """Raises ValueError: a number is out of its range, or options do not go together."""
    for name in ("max_levels", "rounds", "requests", "input", "output"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {value} and must be at least 1.")
    for name in ("level_seconds", "timeout"):
        if not (value := getattr(options, name)) > 0:
            raise ValueError(
                f"--{name.replace('_', '-')} is {value:g} and must be above 0 seconds."
            )
    if not 0 <= options.spread <= 1:
        raise ValueError(f"--spread is {options.spread:g} and must be from 0 to 1.")
    if options.sweep and options.dataset == "replay":
        raise ValueError(
            "--sweep chooses when requests are sent, and --dataset replay has it: one of them"
        )
