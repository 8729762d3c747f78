"""The report as values, as JSON and as a table. ``SCHEMA`` names the JSON's form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from rich import box
from rich.table import Table

from benchmarks.quality.formulas import Divergence, Estimate
from benchmarks.quality.sequences import Score
from benchmarks.quality.tensors import TensorError
from models.progress import duration, size
from models.quality import Figures

SCHEMA = "intramural.quality/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two models.

    Attributes:
        name: as given, or the folder's.
        digest: of its manifest; None where it has none.
        scheme: as stored, from config.json.
        weight_file_bytes: of its safetensors files.
        resident_weight_bytes: as the engine holds them; 0 where the engine cannot say.
        bits_per_weight: file bits over the base model's weights.
        load_s: until the engine was ready, its warm-up included.
        speed: by streams: ``tokens_s``, ``chunks_s``, ``ttft_ms``; empty when not measured.
        evaluation: right answers; None when not measured.
    """

    name: str
    digest: str | None
    scheme: str
    weight_file_bytes: int
    resident_weight_bytes: int
    bits_per_weight: float
    load_s: float
    speed: Mapping[str, Mapping[str, float]]
    evaluation: Score | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The two models over the scored tokens of one source, or of all.

    Attributes:
        tokens: scored.
        sequences: they are of; the standard errors are over these.
        top1: share of tokens at which both find the same token most likely.
        ratio: quantised perplexity over the base's; its error is of the paired differences.
        kl: in nats.
        histogram: tokens by the decade of their KL, ``1e-9`` to ``1e1``; the first also holds
            all that are less.
    """

    tokens: int
    sequences: int
    top1: float
    base_perplexity: Estimate
    quantised_perplexity: Estimate
    ratio: Estimate
    kl: Divergence
    histogram: Mapping[str, int]

    @property
    def figures(self) -> Figures:
        """The same in the form that manifests have it."""
        return Figures(
            num_tokens=self.tokens,
            kl_mean=self.kl.mean,
            kl_median=self.kl.median,
            kl_p99=self.kl.p99,
            top1=self.top1,
            base_perplexity=self.base_perplexity.value,
            perplexity=self.quantised_perplexity.value,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """The making of the quantised model, where its maker left a note.

    Attributes:
        seconds: of the whole quantisation.
        peak_memory_bytes: most resident memory while it ran.
    """

    seconds: float | None
    peak_memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The cost of one quantisation.

    Attributes:
        engine: that computed it.
        num_weights: of the base; what can be asked of a scheme depends on it.
        machine: cores and load while it was measured, for whoever reads the speeds.
        agreement: by source, ``all`` last.
        tensors: every quantised weight, the worst first.
        failed: the gates that do not hold, in words.
    """

    engine: str
    num_weights: int
    machine: str
    base: Side
    quantised: Side
    making: Making | None
    agreement: Mapping[str, Agreement]
    tensors: tuple[TensorError, ...]
    failed: tuple[str, ...]


def as_json(report: Report) -> str:
    """One line. NaN and infinity never get this far: ``formulas.compare`` refuses them."""
    return json.dumps({"schema": SCHEMA} | asdict(report), allow_nan=False)


def tables(report: Report, *, worst: int = 10) -> Iterator[Table]:
    """Tables for people: the models, their agreement, the worst weights."""
    yield _sides(report)
    yield _agreements(report)
    if report.tensors:
        yield _tensors(report, worst)


def _sides(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=f"{report.engine} engine, {report.machine}")
    for heading in ("", "base", "quantised"):
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    sides = (report.base, report.quantised)
    table.add_row("model", *(side.name for side in sides))
    table.add_row("scheme", *(side.scheme for side in sides))
    table.add_row("weight files", *(size(side.weight_file_bytes) for side in sides))
    table.add_row("bits per weight", *(f"{side.bits_per_weight:.2f}" for side in sides))
    if all(side.resident_weight_bytes for side in sides):
        table.add_row("weights in memory", *(size(side.resident_weight_bytes) for side in sides))
    table.add_row("load", *(f"{side.load_s:.1f} s" for side in sides))
    for streams in report.base.speed:
        rows = [side.speed[streams] for side in sides]
        table.add_row(f"tok/s, {streams} streams", *(f"{row['tokens_s']:,.0f}" for row in rows))
        table.add_row(
            f"first token, {streams} streams", *(f"{row['ttft_ms']:,.0f} ms" for row in rows)
        )
    scores = [side.evaluation for side in sides]
    if all(scores):
        table.add_row(
            "evaluation", *(f"{s.right}/{s.items} {s.percent:.2f} %" for s in scores if s)
        )
    making = report.making
    if making is not None and making.seconds is not None:
        seconds = making.seconds
        table.add_row("made in", "", f"{seconds:.1f} s" if seconds < 60 else duration(seconds))
    if making is not None and making.peak_memory_bytes is not None:
        table.add_row("made with, at most", "", size(making.peak_memory_bytes))
    return table


def _agreements(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    shown = dict(report.agreement)
    if len(shown) == 2:  # one source, and "all" of it
        shown.popitem()
    for heading in ("over", *shown):
        table.add_column(heading, justify="left" if heading == "over" else "right")
    agreements = list(shown.values())
    kls = [agreement.kl for agreement in agreements]
    table.add_row("tokens scored", *(f"{agreement.tokens:,}" for agreement in agreements))
    table.add_row("same most likely token", *(f"{agreement.top1:.2%}" for agreement in agreements))
    table.add_row(
        "perplexity of the base",
        *(_estimate(agreement.base_perplexity) for agreement in agreements),
    )
    table.add_row(
        "of the quantised", *(_estimate(agreement.quantised_perplexity) for agreement in agreements)
    )
    table.add_row("their ratio", *(_estimate(agreement.ratio) for agreement in agreements))
    table.add_row("KL divergence, mean", *(f"{kl.mean:.2e}" for kl in kls))
    table.add_row("median", *(f"{kl.median:.2e}" for kl in kls))
    table.add_row("99th percentile", *(f"{kl.p99:.2e}" for kl in kls))
    return table


def _tensors(report: Report, worst: int) -> Table:
    title = f"largest relative squared error, of {len(report.tensors)} quantised weights"
    table = Table("weight", box=box.SIMPLE_HEAD, title=title)
    table.add_column("error", justify="right")
    table.add_column("bits", justify="right")
    for error in report.tensors[:worst]:
        bits = error.num_bytes * 8 / error.num_weights
        table.add_row(error.name, f"{error.relative_mse:.2e}", f"{bits:.2f}")
    return table


def _estimate(figure: Estimate) -> str:
    stderr = "" if figure.stderr is None else f" ± {figure.stderr:.2g}"
    return f"{figure.value:.6g}{stderr}"
