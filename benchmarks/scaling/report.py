"""The outcome of the plans as rows, and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from benchmarks.scaling.simulation import Outcome


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank quantile of ascending seconds, to the millisecond; None of none."""
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)


def row(outcome: Outcome, *, target_s: float, gpus: int) -> dict[str, Any]:
    """One plan's figures. GPU hours count replicas from a pod's start to its end."""
    times = sorted(outcome.first_token_s)
    return {
        "plan": outcome.plan.name,
        "attainment": round(outcome.attainment(target_s), 5),
        "gpu_hours": round(outcome.replica_s / 3600 * gpus, 2),
        "num_answered": len(times),
        "num_refused": outcome.num_refused,
        "num_starts": outcome.num_starts,
        "most_replicas": max((count for _, count in outcome.counts), default=outcome.plan.fixed),
        "ttft_p50_s": quantile(times, 0.5),
        "ttft_p99_s": quantile(times, 0.99),
        "ttft_max_s": quantile(times, 1.0),
    }


def table(rows: Sequence[dict[str, Any]], *, target_s: float) -> Table:
    columns = ("in time", "GPU hours", "most", "starts", "refused", "p50", "p99", "max")
    title = f"in time: first token within {target_s:g} s; p50, p99, max: until it, in seconds"
    shown = Table(title=title, box=None, pad_edge=False, collapse_padding=True)
    shown.add_column("plan", no_wrap=True)
    for column in columns:
        shown.add_column(column, justify="right", no_wrap=True)
    for figures in rows:
        shown.add_row(
            figures["plan"],
            f"{figures['attainment']:.2%}",
            f"{figures['gpu_hours']:,.1f}",
            str(figures["most_replicas"]),
            str(figures["num_starts"]),
            f"{figures['num_refused']:,}",
            *(_seconds(figures[f"ttft_{name}_s"]) for name in ("p50", "p99", "max")),
        )
    return shown


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
