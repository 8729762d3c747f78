"""The least that a quantised model must keep; `--gate` fails below it.

The defaults are what published 8-bit and 4-bit formats reach with room to spare: llama.cpp's own
table has Q8_0 of an 8B model at a KL divergence of 2.4e-4 and Q5_K_M at 4.7e-3.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.refs import QuantScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Limits of one scheme.

    Attributes:
        max_kl: of the mean KL divergence, nats.
        min_top1: share of positions at which both models find the same token most likely.
        max_points_lost: of the evaluation's score, in percent of its items.
    """

    max_kl: float
    min_top1: float
    max_points_lost: float


EIGHT_BITS = Gate(max_kl=0.01, min_top1=0.98, max_points_lost=1.0)
FOUR_BITS = Gate(max_kl=0.05, min_top1=0.94, max_points_lost=4.0)

GATES = {
    QuantScheme.NONE: EIGHT_BITS,
    QuantScheme.INT8: EIGHT_BITS,
    QuantScheme.INT8_WEIGHT_ONLY: EIGHT_BITS,
    QuantScheme.FP8: EIGHT_BITS,
    QuantScheme.BNB_INT8: EIGHT_BITS,
    QuantScheme.INT4: FOUR_BITS,
    QuantScheme.NF4: FOUR_BITS,
}


def failures(
    gate: Gate, *, over: str, kl: float | None = None, top1: float | None = None
) -> list[str]:
    """What is beyond the limits, in words; empty when all that was measured holds.

    None is what was not measured. A value that is no number fails.

    Args:
        gate: of the scheme.
        over: the source that the figures are of.
        kl: mean KL divergence, nats.
        top1: share of tokens.
    """
    found = []
    if kl is not None and not kl < gate.max_kl:
        found.append(f"{over}: mean KL divergence {kl:.4g} is not below {gate.max_kl:g}")
    if top1 is not None and not top1 >= gate.min_top1:
        found.append(f"{over}: top-1 agreement {top1:.2%} is below {gate.min_top1:.0%}")
    return found


def score_failures(gate: Gate, points_lost: float) -> list[str]:
    """The same of the evaluation's score."""
    if points_lost <= gate.max_points_lost:
        return []
    return [f"the evaluation lost {points_lost:.2f} points, more than {gate.max_points_lost:g}"]
