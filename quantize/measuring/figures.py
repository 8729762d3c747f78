"""What is told of the positions that were compared."""

from __future__ import annotations

import math

import torch

from models.quality import Figures
from quantize.measuring.head import Rows


def of(rows: Rows) -> Figures:
    """Over all positions of ``rows``; there is at least one."""
    ordered = rows.kl.sort().values
    return Figures(
        num_tokens=len(rows.kl),
        kl_mean=_rounded(float(rows.kl.mean())),
        kl_median=_rounded(_quantile(ordered, 0.5)),
        kl_p99=_rounded(_quantile(ordered, 0.99)),
        top1=_rounded(float(rows.same_top.double().mean())),
        base_perplexity=_perplexity(rows.base_nll),
        perplexity=_perplexity(rows.nll),
    )


def _perplexity(nll: torch.Tensor) -> float:
    """At most e^700: a float ends soon after."""
    return _rounded(math.exp(min(700.0, float(nll.mean()))))


def _quantile(ordered: torch.Tensor, share: float) -> float:
    """By the nearest rank."""
    return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)])


def _rounded(value: float) -> float:
    """To six digits: a manifest is read by people too."""
    return float(f"{value:.6g}")
