"""All models of a run in one table: ours, and llama.cpp's files on the same tokens.

Each row is against its own side's full model: ours against the base through the same engine,
llama.cpp's against its own run of the base. So a row says what the quantisation costs whoever uses
that system, and nothing of what the systems differ by in full.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich import box
from rich.table import Table

from benchmarks.quality.report import Agreement, Report
from benchmarks.quality.sequences import Score
from models.progress import size

SCHEMA = "intramural.quality-table/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One quantised model.

    Attributes:
        system: ``transformers``, ``vllm`` or ``llama.cpp``.
        name: the model's; of a file, its type.
        weight_bytes: of its files.
        agreement: by source, ``all`` last.
        evaluation: right answers; None where they were not asked for.
        tokens_s: decoded by one stream; None where that was not measured.
        failed: gates that do not hold.
    """

    system: str
    name: str
    weight_bytes: int
    agreement: Mapping[str, Agreement]
    evaluation: Score | None
    tokens_s: float | None
    failed: Sequence[str] = ()


def of_report(report: Report) -> Row:
    """A report's headlines."""
    quantised = report.quantised
    speed = quantised.speed.get("1")
    return Row(
        system=report.engine,
        name=f"{quantised.name} ({quantised.scheme})",
        weight_bytes=quantised.weight_file_bytes,
        agreement=report.agreement,
        evaluation=quantised.evaluation,
        tokens_s=speed["tokens_s"] if speed else None,
        failed=report.failed,
    )


def as_json(base: str, rows: Sequence[Row]) -> str:
    """One line."""
    row_fields = [asdict(row) for row in rows]
    for row in row_fields:
        for agreement in row["agreement"].values():
            agreement.pop("histogram", None)
    return json.dumps({"schema": SCHEMA, "base": base, "rows": row_fields}, allow_nan=False)


def table(base: str, rows: Sequence[Row], score: Score | None) -> Table:
    """The table for people.

    Args:
        base: its name.
        rows: at least one; all over the same sources.
        score: of the base.
    """
    sources = list(rows[0].agreement)
    if len(sources) == 2:  # one source, and "all" of it
        sources.pop()
    kept = f", evaluation {score.right}/{score.items}" if score else ""
    shown = Table(box=box.SIMPLE_HEAD, title=f"against {base}{kept}: KL in nats, same token")
    shown.add_column("system")
    shown.add_column("weights", overflow="fold", min_width=12)
    for heading in ("size", *sources, "perplexity", "right", "tok/s"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        overall = row.agreement[sources[-1]]
        shown.add_row(
            row.system,
            row.name,
            size(row.weight_bytes),
            *(_agreement(row.agreement[source]) for source in sources),
            f"× {overall.ratio.value:.4f}",
            f"{row.evaluation.right}" if row.evaluation else "-",
            f"{row.tokens_s:.1f}" if row.tokens_s else "-",
            style="red" if row.failed else "",
        )
    return shown


def _agreement(agreement: Agreement) -> str:
    return f"{agreement.kl.mean:.4f} {agreement.top1:.1%}"
