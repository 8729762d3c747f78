"""A run as a table for people and as one line of JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.table import Table

from benchmarks import machine
from benchmarks.agent.reuse import Played, figures

SCHEMA = "intramural.agent/1"
_COLUMNS = (
    ("share_reused", "reused", "{:.2%}"),
    ("ttft_first_ms", "TTFT, first\nms", "{:,.0f}"),
    ("ttft_early_ms", "TTFT, 2 to 4\nms", "{:,.0f}"),
    ("ttft_late_ms", "TTFT, last 3\nms", "{:,.0f}"),
    ("ttft_growth", "growth", "{:.2f}"),
    ("total_s", "total\ns", "{:,.1f}"),
    ("tokens_computed", "prompt tokens\ncomputed", "{:,.0f}"),
    ("completion_tokens", "answers\ntokens", "{:,.0f}"),
    ("last_prompt_tokens", "last prompt\ntokens", "{:,.0f}"),
    ("num_calls", "calls", "{:,.0f}"),
)


@dataclass(slots=True)
class Result:
    """One system, and the turns of each round."""

    system: str
    rounds: list[list[Played]] = field(default_factory=list)

    @property
    def samples(self) -> dict[str, list[float | None]]:
        """Figures by name, one sample per round."""
        samples: dict[str, list[float | None]] = {}
        for turns in self.rounds:
            for name, value in figures(turns).items():
                samples.setdefault(name, []).append(value)
        return samples

    @property
    def medians(self) -> dict[str, float | None]:
        """Over rounds; None where one has no such figure."""
        return {
            name: None if None in values else statistics.median(v for v in values if v is not None)
            for name, values in self.samples.items()
        }


def table(model: str, results: Sequence[Result]) -> Table:
    """A row for each system, the one that took the least time in all first."""
    shown = Table(box=box.SIMPLE_HEAD, title=f"{model}: conversations, medians over rounds")
    shown.add_column("system")
    for _, heading, _ in _COLUMNS:
        shown.add_column(heading, justify="right")
    played = [result for result in results if result.rounds]
    for result in sorted(played, key=lambda result: result.medians["total_s"] or 0.0):
        medians = result.medians
        cells = ((medians[name], form) for name, _, form in _COLUMNS)
        shown.add_row(
            result.system,
            *("-" if value is None else form.format(value) for value, form in cells),
        )
    return shown


def as_json(
    model: str,
    command_line: Sequence[str],
    settings: Mapping[str, Any],
    results: Sequence[Result],
    notes: Sequence[str],
) -> str:
    """One line: figures, and every turn of every round."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "made_at": machine.now_utc(),
            "command": machine.command_line(command_line),
            "machine": machine.describe(),
            "model": model,
            "settings": settings,
            "systems": [
                {
                    "system": result.system,
                    "medians": result.medians,
                    "samples": result.samples,
                    "rounds": [[turn.as_json() for turn in turns] for turns in result.rounds],
                }
                for result in results
            ],
            "notes": list(notes),
        },
        allow_nan=False,
    )
