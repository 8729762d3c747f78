"""The figures of the quality report, as pure functions of tensors.

``base`` and ``quantised`` are logits ``[N, V]`` of the same N positions, whatever their type; all
arithmetic is in float64. Natural logarithms throughout, so KL divergence is in nats.

Perplexity is exp(mean(-log p(token))). Its errors are by the delta method over whole sequences
(tokens of one sequence are not independent): with m sequences of sums S_s over n_s of N tokens and
the mean d,

    SE(d) = sqrt(m / (m - 1) * sum_s (S_s - n_s d)^2) / N        SE(exp d) = exp(d) SE(d)

which is the cluster-robust variance of a mean (Liang and Zeger 1986). The ratio's error is that of
the paired differences, far smaller than what the two perplexities' own errors suggest. llama.cpp's
``perplexity --kl-divergence`` reports the same quantities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value and its standard error; the error is None where one sequence alone was measured."""

    value: float
    stderr: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The figures that are kept of each position; every field is ``[N]``, the first three float64.

    Attributes:
        base_nll: -log p(token) by the base model.
        quantised_nll: the same by the quantised model.
        kl: divergence of the quantised distribution from the base's.
        same_top: whether both find the same token most likely.
    """

    base_nll: torch.Tensor
    quantised_nll: torch.Tensor
    kl: torch.Tensor
    same_top: torch.Tensor

    def at(self, places: torch.Tensor) -> Self:
        """These positions, in this order; ``places`` is ``[M]``."""
        return replace(
            self,
            base_nll=self.base_nll[places],
            quantised_nll=self.quantised_nll[places],
            kl=self.kl[places],
            same_top=self.same_top[places],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """KL(base || quantised) in nats over all positions."""

    mean: float
    median: float
    p99: float
    largest: float


def compare(base: torch.Tensor, quantised: torch.Tensor, tokens: torch.Tensor) -> Rows:
    """Both models at some positions.

    Args:
        base: logits ``[N, V]``.
        quantised: logits ``[N, V]``.
        tokens: ``[N]``, the token that follows in the text.

    Raises:
        ValueError: the shapes differ, or a logit is not a number.
    """
    if base.shape != quantised.shape or tokens.shape != base.shape[:1]:
        raise ValueError(
            f"logits {tuple(base.shape)} and {tuple(quantised.shape)} of {tuple(tokens.shape)} "
            "tokens: they are not of the same positions and vocabulary"
        )
    p, q = base.double().log_softmax(-1), quantised.double().log_softmax(-1)
    if bool(p.isnan().any()) or bool(q.isnan().any()):
        raise ValueError("a logit is no finite number: the model's arithmetic is broken")
    chosen = tokens[:, None]
    return Rows(
        base_nll=-p.gather(1, chosen)[:, 0],
        quantised_nll=-q.gather(1, chosen)[:, 0],
        # Never below 0; rounding can leave -1e-16.
        kl=(p.exp() * (p - q)).nan_to_num(nan=0.0, posinf=math.inf).sum(-1).clamp_min(0),
        same_top=base.argmax(-1) == quantised.argmax(-1),
    )


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, in order; ``parts`` is not empty."""
    return Rows(
        base_nll=torch.cat([part.base_nll for part in parts]),
        quantised_nll=torch.cat([part.quantised_nll for part in parts]),
        kl=torch.cat([part.kl for part in parts]),
        same_top=torch.cat([part.same_top for part in parts]),
    )


def exp_of_mean(values: torch.Tensor, lengths: Sequence[int]) -> Estimate:
    """The exponential of the mean over all tokens, with its standard error by sequences.

    Perplexity is this of ``nll``; the ratio of two perplexities is this of their differences.

    Args:
        values: ``[N]``, sequence after sequence.
        lengths: tokens of each sequence; together N.

    Raises:
        ValueError: no tokens, or the lengths are not those of the values.
    """
    if len(values) == 0 or sum(lengths) != len(values):
        raise ValueError(f"{len(values)} values of sequences of {sum(lengths)} tokens together")
    mean = float(values.double().mean())
    value = math.exp(mean) if mean < 709 else math.inf
    num = len(lengths)
    if num < 2:
        return Estimate(value=value, stderr=None)
    sums = torch.stack([part.double().sum() for part in torch.split(values, list(lengths))])
    residuals = sums - torch.tensor(lengths, dtype=torch.float64) * mean
    stderr = math.sqrt(num / (num - 1) * float(residuals.square().sum())) / len(values)
    return Estimate(value=value, stderr=value * stderr)


def divergence(kl: torch.Tensor) -> Divergence:
    """Summary of ``Rows.kl``; p99 and median are by the nearest rank, not interpolated."""
    ordered = kl.sort().values
    return Divergence(
        mean=float(kl.mean()),
        median=float(ordered[_rank(0.5, len(ordered))]),
        p99=float(ordered[_rank(0.99, len(ordered))]),
        largest=float(ordered[-1]),
    )


def share(flags: torch.Tensor) -> float:
    """Share of positions, in [0, 1]."""
    return float(flags.double().mean())


def relative(error: float, size: float) -> float:
    """A weight's squared error over its squared size; 0 for two of zeros.

    Raises:
        ValueError: the base's is zeros and the other is not.
    """
    if size == 0 and error > 0:
        raise ValueError(
            "a weight of zeros has other values once it is quantised: was it made from this base?"
        )
    return error / size if size else 0.0


def bits_per_weight(num_bytes: int, num_weights: int) -> float:
    """Bits stored for each weight of the base model.

    Raises:
        ValueError: there are no weights.
    """
    if num_weights < 1:
        raise ValueError(f"a model of {num_weights} weights has no bits per weight")
    return num_bytes * 8 / num_weights


def _rank(quantile: float, count: int) -> int:
    return max(0, math.ceil(quantile * count) - 1)
