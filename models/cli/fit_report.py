"""The result of `fit`, as a table for people and as JSON for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

from models.cli import output
from models.memory.fit import CPU_KV_SHARE, GPU_SHARE, Fit, Place, Request, Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Costs by scheme, and for each of them how it fits into each memory."""

    name: str
    request: Request
    costs: list[Weights]
    fits: list[list[Fit]]

    def as_json(self) -> dict[str, Any]:
        """All figures in bytes and tokens. Field names are those of models/memory/fit.py."""
        return {
            "model": self.name,
            "num_gpus": self.request.num_gpus,
            "schemes": [
                asdict(cost) | {"fits": [_fit_json(fit) for fit in fits]}
                for cost, fits in zip(self.costs, self.fits, strict=True)
            ],
        }

    def print(self) -> None:
        """A table, and under it what it assumes."""
        console = output.console()
        first = self.costs[0]
        console.print(
            f"{self.name}: {first.num_parameters:,} parameters, {first.dtype}; "
            f"KV cache {first.kv_bytes_per_token:,} bytes a token, "
            f"{_gb(first.kv_bytes_per_sequence)} for {first.context:,} tokens"
            + (f"; on each of {self.request.num_gpus} GPUs" if self.request.num_gpus > 1 else "")
        )
        console.print(self._table())
        for line in self._assumptions():
            console.print(line, style="dim")

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("scheme")
        table.add_column("weights", justify="right")
        for fit in self.fits[0]:
            name = f"{fit.memory_bytes / 1e9:.4g} GB {fit.place.upper()}"
            table.add_column(f"{name}\nlongest for {fit.concurrency}", justify="right")
            table.add_column("at full\nlength", justify="right")
        for cost, fits in zip(self.costs, self.fits, strict=True):
            cells = [cell for fit in fits for cell in _cells(fit)]
            table.add_row(str(cost.scheme), _gb(cost.weights_bytes), *cells)
        return table

    def _assumptions(self) -> list[str]:
        lines = [
            "Norms and biases are not quantised; embedding and output head are in int8 and int4."
        ]
        fits = {fit.place: fit for fit in self.fits[0]}
        if Place.GPU in fits:
            lines.append(
                f"Assumed on a GPU: vLLM takes {GPU_SHARE:.0%} of its memory; of that "
                f"{_gb(fits[Place.GPU].overhead_bytes)} for itself and one step."
            )
        if Place.CPU in fits:
            lines.append(
                f"Assumed on a CPU: our own engine, {_gb(fits[Place.CPU].overhead_bytes)} for "
                "itself and one step, a tied output head held once, and "
                f"{CPU_KV_SHARE:.0%} of what is left for the KV cache."
            )
        return lines


def _cells(fit: Fit) -> tuple[str, str]:
    if fit.kv_room_bytes <= 0:
        return "does not fit", "-"
    if not fit.longest_context:
        return "no sequence fits", "-"
    return f"{fit.longest_context:,}", f"{fit.sequences:,}"


def _fit_json(fit: Fit) -> dict[str, Any]:
    values = asdict(fit)
    del values["weights"]
    return values | {"weights_bytes": fit.weights.weights_bytes}


def _gb(number: int) -> str:
    return f"{number / 1e9:.2f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"
