"""Percentiles of samples, and the names under which reports have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

PERCENTILES = (50, 90, 95, 99)


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds, by numpy's linear interpolation; empty without samples."""
    if not seconds:
        return {}
    values = np.asarray(seconds) * 1e3
    points = {f"p{q}": float(value) for q, value in _at(values)}
    return points | {"mean": float(values.mean())}


def _at(values: np.ndarray) -> Iterator[tuple[int, float]]:
    yield from zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)


def by_name(values: Mapping[str, float], stem: str) -> dict[str, float]:
    """``{"p50": 1.0}`` and ``ttft`` are ``{"ttft_ms_p50": 1.0}``."""
    return {f"{stem}_ms_{name}": value for name, value in values.items()}
