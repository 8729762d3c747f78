"""Two models' distributions over the vocabulary, compared without ever holding one whole.

Both heads are gone through side by side, some rows of the vocabulary at a time. With logits a of
the full model and b of the quantised one, p and q their softmax,

    KL(p || q) = Σ p (a - b) - log Σ exp a + log Σ exp b

so of each position three sums are enough, kept relative to the largest logit so far (the online
softmax of Milakov and Gimelshein, 2018) and in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch

from models.quality import Figures
from quantize.errors import QuantizeError


@dataclass(frozen=True, slots=True)
class Rows:
    """Figures of each position; all ``[n]``, the first three float64.

    Attributes:
        base_nll: -log p(next token) of the full model.
        nll: the same of the quantised one.
        kl: nats.
        same_top: whether both find the same token most likely.
    """

    base_nll: torch.Tensor
    nll: torch.Tensor
    kl: torch.Tensor
    same_top: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All positions of all parts, in order; there is at least one part."""
        return cls(
            *(torch.cat(field) for field in zip(*(part.fields() for part in parts), strict=True))
        )

    def split(self, lengths: Sequence[int]) -> list[Self]:
        """The other way round."""
        parts = zip(*(torch.split(field, [*lengths]) for field in self.fields()), strict=True)
        return [type(self)(*part) for part in parts]

    def fields(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """All four, in order."""
        return self.base_nll, self.nll, self.kl, self.same_top

    def figures(self) -> Figures:
        """The figures over all positions, of which there is at least one."""
        ordered = self.kl.sort().values
        return Figures(
            num_tokens=len(self.kl),
            kl_mean=_rounded(float(self.kl.mean())),
            kl_median=_rounded(_quantile(ordered, 0.5)),
            kl_p99=_rounded(_quantile(ordered, 0.99)),
            top1=_rounded(float(self.same_top.double().mean())),
            base_perplexity=_perplexity(self.base_nll),
            perplexity=_perplexity(self.nll),
        )


def _perplexity(nll: torch.Tensor) -> float:
    """At most e^700: a float ends soon after."""
    return _rounded(math.exp(min(700.0, float(nll.mean()))))


def _quantile(ordered: torch.Tensor, share: float) -> float:
    """The value below which ``share`` of them lie, by the nearest rank."""
    return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)])


def _rounded(value: float) -> float:
    """The value to six digits: a manifest is read by people too."""
    return float(f"{value:.6g}")


class Comparison:
    """Fed tile after tile of logits.

    Args:
        tokens: int64 ``[n]``, what follows each position.
    """

    def __init__(self, tokens: torch.Tensor) -> None:
        self._base = _Side(tokens)
        self._other = _Side(tokens)
        self._change = torch.zeros(len(tokens), dtype=torch.float64)
        """Σ exp(a - largest a) (a - b)."""

    def add(self, begin: int, base: torch.Tensor, other: torch.Tensor) -> None:
        """Logits ``[n, tile]`` of the tokens from ``begin`` on; both are overwritten."""
        change = base - other
        shrinking = self._base.add(begin, base)
        self._change = self._change * shrinking + change.mul_(base).sum(-1).double()
        self._other.add(begin, other)

    def rows(self) -> Rows:
        """All positions, once the whole vocabulary was added.

        Raises:
            QuantizeError: a logit is no finite number.
        """
        base, other = self._base.log_sum(), self._other.log_sum()
        kl = self._change / self._base.total - base + other
        if not bool(torch.isfinite(kl).all()):
            raise QuantizeError("a logit is no finite number: the model's arithmetic is broken.")
        return Rows(
            base_nll=base - self._base.chosen,
            nll=other - self._other.chosen,
            kl=kl.clamp_min(0),  # rounding can leave less than nothing
            same_top=self._base.best == self._other.best,
        )


class _Side:
    """One model's sums; all ``[n]``, float64 but ``best``, the likeliest token so far."""

    def __init__(self, tokens: torch.Tensor) -> None:
        num = len(tokens)
        self._tokens = tokens
        self._largest = torch.full((num,), -torch.inf, dtype=torch.float64)
        self.total = torch.zeros(num, dtype=torch.float64)
        self.chosen = torch.zeros(num, dtype=torch.float64)
        self.best = torch.zeros(num, dtype=torch.int64)

    def add(self, begin: int, logits: torch.Tensor) -> torch.Tensor:
        """Take in a tile; leaves exp(logits - largest) in it.

        Returns:
            What sums over earlier tiles are to be multiplied with.
        """
        values, places = logits.max(-1)
        is_better = values.double() > self._largest
        self.best = torch.where(is_better, places + begin, self.best)
        largest = torch.maximum(self._largest, values.double())
        inside = (self._tokens >= begin) & (self._tokens < begin + logits.shape[1])
        at = inside.nonzero()[:, 0]
        self.chosen[at] = logits[at, self._tokens[at] - begin].double()
        shrinking = (self._largest - largest).exp()
        logits.sub_(largest.float().unsqueeze(-1)).exp_()
        self.total = self.total * shrinking + logits.sum(-1).double()
        self._largest = largest
        return shrinking

    def log_sum(self) -> torch.Tensor:
        return self.total.log() + self._largest
