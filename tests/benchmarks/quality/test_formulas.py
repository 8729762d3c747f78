"""The report's formulas: what must hold of them, and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality import formulas

seeds = st.integers(0, 2**31)
sizes = st.integers(1, 12)
widths = st.integers(2, 40)


def random_logits(seed: int, rows: int, width: int, spread: float = 5.0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=source) * spread


def tokens_of(seed: int, rows: int, width: int) -> torch.Tensor:
    return torch.randint(width, (rows,), generator=torch.Generator().manual_seed(seed))


@given(seeds, seeds, sizes, widths)
def test_kl_is_never_negative(a, b, rows, width):
    found = formulas.compare(
        random_logits(a, rows, width), random_logits(b, rows, width), tokens_of(a, rows, width)
    )
    assert bool((found.kl >= 0).all())
    assert bool((found.base_nll >= 0).all())


@given(seeds, sizes, widths, st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_model_agrees_with_itself(seed, rows, width, dtype):
    logits = random_logits(seed, rows, width).to(dtype)
    found = formulas.compare(logits, logits.clone(), tokens_of(seed, rows, width))
    assert float(found.kl.max()) == 0
    assert formulas.share(found.same_top) == 1
    ratio = formulas.exp_of_mean(found.quantised_nll - found.base_nll, [1] * rows)
    assert ratio.value == 1
    assert ratio.stderr in (0, None)


@given(seeds, sizes, widths, st.floats(-50, 50))
def test_a_constant_added_to_all_logits_changes_nothing(seed, rows, width, shift):
    logits, tokens = random_logits(seed, rows, width).double(), tokens_of(seed, rows, width)
    other = random_logits(seed + 1, rows, width).double()
    plain, shifted = (formulas.compare(logits, o, tokens) for o in (other, other + shift))
    assert torch.allclose(plain.kl, shifted.kl, atol=1e-9)
    assert torch.allclose(plain.quantised_nll, shifted.quantised_nll, atol=1e-9)


@given(seeds, sizes, widths, st.randoms(use_true_random=False))
def test_the_order_of_positions_and_of_the_vocabulary_does_not_matter(seed, rows, width, source):
    base, quantised = random_logits(seed, rows, width), random_logits(seed + 1, rows, width)
    tokens = tokens_of(seed, rows, width)
    plain = formulas.compare(base, quantised, tokens)
    order = torch.tensor(source.sample(range(rows), rows))
    moved = formulas.compare(base[order], quantised[order], tokens[order])
    assert torch.equal(moved.kl, plain.kl[order])
    words = torch.tensor(source.sample(range(width), width))
    place = torch.empty_like(words)
    place[words] = torch.arange(width)
    renamed = formulas.compare(base[:, words], quantised[:, words], place[tokens])
    assert torch.allclose(renamed.kl, plain.kl, atol=1e-9)
    assert torch.allclose(renamed.base_nll, plain.base_nll, atol=1e-9)


def test_kl_of_two_coins():
    p, q = 0.4, 0.8
    found = formulas.compare(
        torch.tensor([[p, 1 - p]], dtype=torch.float64).log(),
        torch.tensor([[q, 1 - q]], dtype=torch.float64).log(),
        torch.tensor([0]),
    )
    expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert float(found.kl[0]) == pytest.approx(expected, rel=1e-12)
    assert float(found.base_nll[0]) == pytest.approx(-math.log(p))
    assert not bool(found.same_top[0])


@given(widths, sizes)
def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(width, rows):
    logits = torch.zeros(rows, width)
    found = formulas.compare(logits, logits, torch.zeros(rows, dtype=torch.int64))
    assert formulas.exp_of_mean(found.base_nll, [rows]).value == pytest.approx(width)


def test_the_error_of_single_token_sequences_is_the_textbooks():
    values = torch.tensor([0.1, 0.4, 0.2, 0.9], dtype=torch.float64)
    found = formulas.exp_of_mean(values, [1, 1, 1, 1])
    textbook = float(values.std(correction=1)) / math.sqrt(4)
    assert found.value == pytest.approx(math.exp(0.4))
    assert found.stderr == pytest.approx(math.exp(0.4) * textbook)


def test_repeating_a_token_adds_no_knowledge():
    """Whole sequences are drawn, so ten equal tokens of each say no more than one."""
    once = formulas.exp_of_mean(torch.tensor([0.1, 0.4, 0.3]), [1, 1, 1])
    tenfold = formulas.exp_of_mean(
        torch.tensor([0.1, 0.4, 0.3]).repeat_interleave(10), [10, 10, 10]
    )
    assert tenfold.stderr == pytest.approx(once.stderr, rel=1e-6)


def test_one_sequence_has_no_error():
    assert formulas.exp_of_mean(torch.tensor([1.0, 2.0]), [2]).stderr is None


def test_quantiles_are_of_values_that_occur():
    found = formulas.divergence(torch.arange(1, 201, dtype=torch.float64))
    assert (found.median, found.p99, found.largest) == (100, 198, 200)
    assert found.mean == 100.5


def test_the_relative_error_of_nothing_is_none():
    assert formulas.relative(0.0, 0.0) == 0
    assert formulas.relative(2.0, 8.0) == 0.25


def test_bits_per_weight():
    assert formulas.bits_per_weight(550, 1000) == 4.4


@pytest.mark.parametrize(
    "call",
    [
        lambda: formulas.compare(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2).long()),
        lambda: formulas.compare(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3).long()),
        lambda: formulas.compare(
            torch.full((1, 2), math.nan), torch.zeros(1, 2), torch.zeros(1).long()
        ),
        lambda: formulas.exp_of_mean(torch.zeros(0), []),
        lambda: formulas.exp_of_mean(torch.zeros(3), [1, 1]),
        lambda: formulas.relative(1.0, 0.0),
        lambda: formulas.bits_per_weight(1, 0),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(ValueError):
        call()
