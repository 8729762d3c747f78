"""A day as a picture: requests per second, and each plan's replicas; dotted, a fixed number."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.scaling.arrivals import DAY_S, Request
from benchmarks.scaling.simulation import Outcome

BIN_S = 300.0


def rates(requests: Sequence[Request]) -> list[tuple[float, float]]:
    """Requests per second in bins of five minutes: hour of the day, and rate."""
    counts = [0] * int(DAY_S / BIN_S)
    for request in requests:
        counts[min(int(request.at_s / BIN_S), len(counts) - 1)] += 1
    return [((number + 0.5) * BIN_S / 3600, count / BIN_S) for number, count in enumerate(counts)]


def check(path: Path) -> None:
    """Check, before a day is played, that it can be drawn.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the folder is not there, or cannot be written.
    """
    import matplotlib.figure  # noqa: F401, PLC0415 - a dependency of pictures alone

    with tempfile.TemporaryFile(dir=path.parent):
        pass


def draw(path: Path, requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
    """Write the PNG.

    Raises:
        OSError: it cannot be written.
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - a dependency of pictures alone

    figure = Figure(figsize=(12, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(*zip(*rates(requests), strict=True), color="#444444")
    above.set_ylabel("requests per second")
    for number, outcome in enumerate(outcomes):
        if outcome.counts:
            hours = [at / 3600 for at, _ in outcome.counts]
            # A little apart, or equal numbers would hide each other.
            counts = [count + 0.05 * number for _, count in outcome.counts]
            style = ":" if outcome.plan.scaler is None else "-"
            below.step(hours, counts, style, label=outcome.plan.name)
    below.set_ylabel("replicas, those that start and leave too")
    below.set_xlabel("hour of the day")
    below.set_xlim(0, 24)
    below.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    path.write_bytes(buffer.getvalue())
