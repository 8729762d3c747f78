"""Intervals of figures by resampling, and ratios of paired rounds.

The bootstrap is Efron's percentile one (Efron and Tibshirani 1993, chapter 13), of the median, with
a fixed seed: the same samples always give the same interval. With few rounds it is little more than
the least and the most of them, which is all that few rounds can say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_SAMPLES = 3
"""Below it there is no interval: two rounds cannot tell noise from a difference."""
_RESAMPLES = 10_000
_LEVEL = 95.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A median, and the bounds of a 95 % interval; None where there are too few samples."""

    middle: float
    low: float | None
    high: float | None


def median(samples: Sequence[float]) -> Interval:
    """The median of at least one sample."""
    values = np.asarray(samples, dtype=float)
    if len(values) < LEAST_SAMPLES:
        return Interval(float(np.median(values)), None, None)
    medians = np.median(values[_picks(len(values), 0)], axis=1)
    return _interval(float(np.median(values)), medians)


def paired_ratio(ones: Sequence[float], others: Sequence[float]) -> Interval:
    """The median of ``one / other`` over rounds in which both ran.

    Args:
        ones: one figure per round, above 0.
        others: of the same rounds, in the same order.
    """
    pairs = zip(ones, others, strict=True)
    return median([one / other for one, other in pairs])


def ratio_of_medians(ones: Sequence[float], others: Sequence[float]) -> Interval:
    """The ratio of the medians of two runs that had nothing to do with each other."""
    left, right = np.asarray(ones, dtype=float), np.asarray(others, dtype=float)
    middle = float(np.median(left) / np.median(right))
    if min(len(left), len(right)) < LEAST_SAMPLES:
        return Interval(middle, None, None)
    ratios = np.median(left[_picks(len(left), 1)], axis=1) / np.median(
        right[_picks(len(right), 2)], axis=1
    )
    return _interval(middle, ratios)


def _picks(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, count, (_RESAMPLES, count))


def _interval(middle: float, resampled: np.ndarray) -> Interval:
    tail = (100 - _LEVEL) / 2
    low, high = np.percentile(resampled, (tail, 100 - tail))
    return Interval(middle, float(low), float(high))
