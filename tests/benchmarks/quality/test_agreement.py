"""Compared tokens by their source, and over all of them."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.quality.agreement import ALL, by_source, histogram
from benchmarks.quality.formulas import Rows
from benchmarks.quality.sequences import Forced

SEQUENCES = [
    Forced(source="b", given=(1,), scored=(2, 3)),
    Forced(source="a", given=(1,), scored=(4,)),
    Forced(source="b", given=(1,), scored=(5,)),
]


def rows() -> Rows:
    return Rows(
        base_nll=torch.tensor([1.0, 1.0, 2.0, 3.0], dtype=torch.float64),
        quantised_nll=torch.tensor([1.0, 1.5, 2.0, 3.5], dtype=torch.float64),
        kl=torch.tensor([0.0, 0.1, 0.5, 0.2], dtype=torch.float64),
        same_top=torch.tensor([True, False, True, True]),
    )


def test_sources_come_in_order_of_appearance_and_all_last() -> None:
    found = by_source(SEQUENCES, rows())
    assert list(found) == ["b", "a", ALL]
    assert [each.tokens for each in found.values()] == [3, 1, 4]
    assert [each.sequences for each in found.values()] == [2, 1, 3]


def test_a_source_has_the_rows_of_its_own_sequences_alone() -> None:
    found = by_source(SEQUENCES, rows())
    assert found["b"].top1 == pytest.approx(2 / 3)
    assert found["b"].kl.largest == pytest.approx(0.2)
    assert found["a"].kl.mean == pytest.approx(0.5)
    assert found["b"].base_perplexity.value == pytest.approx(math.exp(5 / 3))
    assert found["b"].ratio.value == pytest.approx(math.exp(1 / 3))
    assert found[ALL].ratio.value == pytest.approx(math.exp(1 / 4))


def test_one_sequence_has_no_standard_error() -> None:
    found = by_source(SEQUENCES, rows())
    assert found["a"].base_perplexity.stderr is None
    assert found["b"].base_perplexity.stderr is not None


def test_the_histogram_counts_every_token():
    found = histogram([0.0, 1e-12, 2e-5, 0.5, 80.0])
    assert found["1e-9"] == 2
    assert (found["1e-5"], found["1e-1"], found["1e1"]) == (1, 1, 1)
    assert sum(found.values()) == 5


def test_a_histogram_of_nothing_has_every_decade() -> None:
    assert set(histogram([]).values()) == {0}
    assert next(iter(histogram([]))) == "1e-9"
