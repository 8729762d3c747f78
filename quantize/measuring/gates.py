"""The quality that a quantised model must keep of the full one, by scheme and size.

A small model loses more by the same rounding: it has fewer weights to spread an error over. So the
limits are by size, and stand at one and a half to three times what the scheme reaches on real
models of that size; docs/quality.md has the figures and the argument. Below a limit something is
wrong, or the scheme is none for this model. No torch in here: the server asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.progress import size
from models.quality import Figures, Quality
from models.refs import OtherScheme, QuantScheme, Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Limits of one scheme.

    Attributes:
        max_kl: of the mean KL divergence, nats.
        min_top1: share of positions at which both models find the same token most likely.
        max_points_lost: of an evaluation's score, in percent of its items.
    """

    max_kl: float
    min_top1: float
    max_points_lost: float


SMALL, MIDDLE = 300_000_000, 3_000_000_000
"""Weights below which a model is small, or of middle size."""

_EIGHT_BITS = (
    Gate(max_kl=0.015, min_top1=0.90, max_points_lost=2.0),
    Gate(max_kl=0.004, min_top1=0.95, max_points_lost=1.0),
    Gate(max_kl=0.003, min_top1=0.96, max_points_lost=1.0),
)
_ACTIVATIONS_TOO = (
    Gate(max_kl=0.050, min_top1=0.85, max_points_lost=3.0),
    Gate(max_kl=0.025, min_top1=0.90, max_points_lost=2.0),
    Gate(max_kl=0.020, min_top1=0.92, max_points_lost=2.0),
)
_FOUR_BITS = (
    Gate(max_kl=0.15, min_top1=0.75, max_points_lost=6.0),
    Gate(max_kl=0.08, min_top1=0.82, max_points_lost=4.0),
    Gate(max_kl=0.06, min_top1=0.88, max_points_lost=4.0),
)
"""Each small, middle and large."""
_BY_SCHEME = {
    QuantScheme.INT4: _FOUR_BITS,
    QuantScheme.NF4: _FOUR_BITS,
    QuantScheme.INT8_W8A8: _ACTIVATIONS_TOO,
    QuantScheme.BNB_INT8: _ACTIVATIONS_TOO,
    QuantScheme.FP8: _ACTIVATIONS_TOO,
}


def gate_of(scheme: QuantScheme, num_weights: int) -> Gate:
    """The limits for a model of so many weights."""
    gates = _BY_SCHEME.get(scheme, _EIGHT_BITS)
    return gates[(num_weights >= SMALL) + (num_weights >= MIDDLE)]


def failures(gate: Gate, figures: Figures) -> list[str]:
    """The figures beyond the limits, in words; empty when all holds."""
    faults = []
    if not figures.kl_mean < gate.max_kl:
        faults.append(f"mean KL divergence {figures.kl_mean:.4g} is not below {gate.max_kl:g}")
    if not figures.top1 >= gate.min_top1:
        faults.append(f"same most likely token {figures.top1:.1%} is below {gate.min_top1:.0%}")
    return faults


def complaint(quality: Quality, scheme: Scheme) -> str | None:
    """A complaint that a model lost too much, with what loses less; None where it keeps enough."""
    if isinstance(scheme, OtherScheme):
        return None  # another tool's, for which there is no gate
    faults = failures(gate_of(scheme, quality.num_weights), quality)
    if not faults:
        return None
    text = f"TOO MUCH for {scheme}: {'; '.join(faults)}."
    better = quality.better
    if better is None:
        return text
    is_full = better.scheme == QuantScheme.NONE
    what = "the full weights" if is_full else better.scheme
    return f"{text} Better: {what}, {size(better.bytes)} of weights (--quant {better.scheme})."
