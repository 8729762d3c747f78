"""A plan and a report, as tables for people and as plain values for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from models import command_line
from models.errors import ModelError
from models.memory.fit import Fit
from models.progress import JsonLines, duration, size
from models.quality import Quality
from models.refs import QuantScheme
from quantize.measuring import gates
from quantize.plan.choices import Choice
from quantize.plan.scheme_plan import SchemePlan
from quantize.protocol import CALIBRATED
from quantize.write.result import QuantReport

_WORST = 5


def plan_facts(plan: SchemePlan, fits: list[Fit]) -> dict[str, Any]:
    """The plan as plain values, sizes in bytes, without ``config``: that is in the result."""
    return {
        "scheme": str(plan.scheme),
        "method": str(plan.method),
        **asdict(plan.form),
        "source_bytes": plan.source_bytes,
        "output_bytes": plan.output_bytes,
        "peak_memory_bytes": plan.peak_memory_bytes,
        "num_weights": plan.num_weights,
        "bits_per_weight": round(plan.bits_per_weight, 3),
        "num_layers": len(plan.layers),
        "parts": {
            str(part): asdict(part_size) | {"bits_per_weight": round(part_size.bits_per_weight, 3)}
            for part, part_size in plan.sizes.items()
        },
        "num_skipped": len(plan.skipped),
        "skipped": [asdict(skip) for skip in plan.skipped],
        "tensor_parallel": plan.tensor_parallel,
        "tensor_parallel_faults": list(plan.tensor_parallel_faults),
        "fits": [
            {
                "memory_bytes": fit.memory_bytes,
                "kv_room_bytes": fit.kv_room_bytes,
                "longest_context": fit.longest_context,
            }
            for fit in fits
        ],
    }


def report_facts(report: QuantReport) -> dict[str, Any]:
    """The report as plain values: sizes in bytes, errors relative to the weights' own energy."""
    return {
        "scheme": str(report.plan.scheme),
        "method": str(report.plan.method),
        **asdict(report.plan.form),
        "digest": report.digest,
        "source_digest": report.source_digest,
        "source_bytes": report.plan.source_bytes,
        "output_bytes": report.plan.output_bytes,
        "bits_per_weight": round(report.plan.bits_per_weight, 3),
        "seconds": round(report.seconds, 3),
        "num_resumed_bytes": report.num_resumed_bytes,
        "peak_memory_bytes": report.peak_memory_bytes,
        "relative_mse": report.relative_mse,
        "rtn_relative_mse": report.rtn_relative_mse,
        "layers": [asdict(layer) | {"relative_mse": layer.relative_mse} for layer in report.layers],
    }


def print_error(error: ModelError, view: JsonLines, *, as_json: bool) -> None:
    """Print why nothing was made: an event for programs, or a line on stderr."""
    if as_json:
        view.event("error", kind=type(error).__name__, message=str(error))
    else:
        command_line.complain(str(error))


def print_plan(
    plan: SchemePlan, fits: list[Fit], console: Console, *, choice: Choice | None = None
) -> None:
    """Print what would be done, and for what is left out why."""
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    group = plan.form.group_size
    scales = f"groups of {group}" if group else "a scale for each row"
    table.add_row("scheme", f"{choice or plan.scheme} ({plan.method}, {scales})")
    table.add_row("weights", f"{size(plan.source_bytes)} → {size(plan.output_bytes)}")
    for part, part_size in plan.sizes.items():
        table.add_row(
            part,
            f"{part_size.num_matrices} quantised, {part_size.num_weights:,} weights, "
            f"{part_size.bits_per_weight:.2f} bits each with scales, {size(part_size.num_bytes)}",
        )
    if len(plan.sizes) > 1:
        table.add_row("bits per weight", f"{plan.bits_per_weight:.2f}, with scales")
    held = "the whole model" if plan.method in CALIBRATED else "whatever the model's size"
    table.add_row("memory needed", f"{size(plan.peak_memory_bytes)}, {held}")
    for reason, number in Counter(skip.reason for skip in plan.skipped).most_common():
        names = [skip.name for skip in plan.skipped if skip.reason == reason]
        more = f" and {number - 2} more" if number > 2 else ""
        table.add_row("stays as it is", f"{', '.join(names[:2])}{more}: {reason}")
    if plan.tensor_parallel > 1:
        faults = "; ".join(plan.tensor_parallel_faults[:3]) or "divides"
        table.add_row(f"on {plan.tensor_parallel} GPUs", faults)
    for fit in fits:
        longest = f"{fit.longest_context:,} tokens of one sequence"
        fits_so = longest if fit.longest_context else "does not fit"
        table.add_row(f"{fit.memory_bytes / 1e9:.4g} GB {fit.place.upper()}", fits_so)
    console.print(table)


def print_report(report: QuantReport, console: Console) -> None:
    """Print what was made and what it took, with the layers that lost most."""
    console.print(
        f"took {duration(report.seconds)}, {size(report.peak_memory_bytes)} of memory; "
        f"relative error {report.relative_mse:.3g}"
        + (
            f" (plain rounding: {report.rtn_relative_mse:.3g})"
            if report.rtn_relative_mse != report.relative_mse
            else ""
        )
    )
    worst = sorted(report.layers, key=lambda layer: -layer.relative_mse)[:_WORST]
    for layer in worst:
        console.print(f"  {layer.relative_mse:.3g}  {layer.name}")


def print_quality(quality: Quality, scheme: QuantScheme, console: Console) -> None:
    """Print what it lost, and whether that is too much."""
    console.print(f"lost: {quality.line}")
    complaint = gates.complaint(quality, scheme)
    if complaint is not None:
        console.print(complaint, style="bold red")
