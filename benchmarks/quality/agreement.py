"""The compared tokens, by the source of their sequences and over all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from benchmarks.quality import formulas
from benchmarks.quality.formulas import Rows
from benchmarks.quality.report import Agreement
from benchmarks.quality.sequences import Forced

ALL = "all"
_LOWEST, _HIGHEST = -9, 1


def by_source(sequences: Sequence[Forced], rows: Rows) -> dict[str, Agreement]:
    """Agreement of whole distributions.

    Args:
        sequences: not empty.
        rows: in the order of the sequences' scored tokens.
    """
    names = [sequence.source for sequence in sequences for _ in sequence.scored]
    agreements = {}
    for source in _sources(sequences):
        lengths = [len(s.scored) for s in sequences if source in (s.source, ALL)]
        here = torch.tensor([source in (name, ALL) for name in names])
        base, quantised, kl = rows.base_nll[here], rows.quantised_nll[here], rows.kl[here]
        agreements[source] = Agreement(
            tokens=len(kl),
            sequences=len(lengths),
            top1=formulas.share(rows.same_top[here]),
            base_perplexity=formulas.exp_of_mean(base, lengths),
            quantised_perplexity=formulas.exp_of_mean(quantised, lengths),
            ratio=formulas.exp_of_mean(quantised - base, lengths),
            kl=formulas.divergence(kl),
            histogram=histogram(kl.tolist()),
        )
    return agreements


def histogram(kl: Sequence[float]) -> Mapping[str, int]:
    """Tokens by the decade of their KL; the outermost decades hold what lies beyond."""
    counts = Counter(
        min(max(math.floor(math.log10(value)), _LOWEST), _HIGHEST) if value > 0 else _LOWEST
        for value in kl
    )
    return {f"1e{decade}": counts[decade] for decade in range(_LOWEST, _HIGHEST + 1)}


def _sources(sequences: Sequence[Forced]) -> list[str]:
    """Names in order of appearance, then ``all``."""
    return [*dict.fromkeys(sequence.source for sequence in sequences), ALL]
