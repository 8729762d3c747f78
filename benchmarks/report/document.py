"""A report as values and as JSON: what every command writes, and what diff and plan read.

The form is schema.json; ``SCHEMA`` names it. Every figure has all its samples, one per round, so
that whoever reads it can judge the noise.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from benchmarks import json_lines
from benchmarks.roofline import Roofline

SCHEMA = "intramural.benchmark/1"
KindOfReport = Literal["engine", "serving", "compare"]


class DocumentError(ValueError):
    """A file is not a report of ours; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One system doing one thing.

    Attributes:
        model: its name.
        system: what ran it, such as ``intramural transformers``.
        scheme: how its weights were stored.
        case: what it did, such as ``decode 8 x 32 after 128``; the level of a serving load.
        via: ``engine``, ``HTTP`` or ``library``: how it was asked.
        samples: figures by name, one sample per round.
        facts: what else a reader needs: the offered rate, bytes of the weights, ...
    """

    model: str
    system: str
    case: str
    scheme: str = "none"
    via: str = "engine"
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The identity of what is measured: equal in two reports that can be compared."""
        return self.model, self.system, self.scheme, self.case

    @property
    def name(self) -> str:
        return self.system if self.scheme == "none" else f"{self.system} {self.scheme}"

    def median(self, figure: str) -> float | None:
        values = self.samples.get(figure)
        return statistics.median(values) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One system's figure as a multiple of another's, paired by round.

    Attributes:
        ratio: median over the rounds; more than 1 is in favour of ``system``, whatever the figure.
        low, high: of a 95 % interval; None where there are too few rounds.
    """

    model: str
    case: str
    figure: str
    system: str
    against: str
    ratio: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One report.

    Attributes:
        kind: the command that made it.
        made_at: UTC, ISO 8601.
        command: that makes it again.
        machine: facts of the machine, as ``benchmarks.machine`` has them.
        settings: of the run, such as SLO targets; for whoever reads it.
        notes: systems that were left out, warnings.
    """

    kind: KindOfReport
    made_at: str
    command: str
    machine: Mapping[str, Any]
    roofline: Roofline | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Row] = ()
    ratios: Sequence[Ratio] = ()
    notes: Sequence[str] = ()

    def to_json(self) -> str:
        """One line."""
        fields = asdict(self)
        if self.roofline is not None:
            fields["roofline"] |= {"flops_s": self.roofline.flops_s}
        for original, row in zip(self.rows, fields["rows"], strict=True):
            row["medians"] = {name: original.median(name) for name in original.samples}
        return json.dumps({"schema": SCHEMA} | fields, allow_nan=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The report in a file: the JSON alone, or as the last line of a command's output.

        Raises:
            DocumentError: it is none, or cannot be read.
        """
        try:
            fields = json_lines.last(path)
        except ValueError as error:
            raise DocumentError(str(error)) from None
        try:
            if not isinstance(fields, dict) or fields.pop("schema", None) != SCHEMA:
                raise DocumentError(f"{path}: its last line is no report of form {SCHEMA}.")
            return cls(**_values(fields))
        except (TypeError, KeyError, AttributeError) as error:
            raise DocumentError(f"{path} is not a whole report: {error}") from None


def doubts(rows: Sequence[Row]) -> list[str]:
    """Notes on figures that are more than the machine's measured limit."""
    return [
        f"{row.model}, {row.name}, {row.case}: {name.upper()} is above 1: its weights fit into the "
        "caches, or something else ran while the limits were measured"
        for row in rows
        for name in ("mfu", "mbu")
        if (row.median(name) or 0.0) > 1.0
    ]


def _values(fields: dict[str, Any]) -> dict[str, Any]:
    roofline = fields["roofline"]
    if roofline is not None:
        roofline.pop("flops_s")
        fields["roofline"] = Roofline(**roofline)
    for row in fields["rows"]:
        row.pop("medians")
    return fields | {
        "rows": tuple(Row(**row) for row in fields["rows"]),
        "ratios": tuple(Ratio(**ratio) for ratio in fields["ratios"]),
    }
