"""Distributions compared tile by tile, against the whole."""

import pytest
import torch

from quantize.errors import QuantizeError
from quantize.measuring.head import Comparison, Rows


def compared(base: torch.Tensor, made: torch.Tensor, tokens: torch.Tensor, tile: int) -> Rows:
    comparison = Comparison(tokens)
    for begin in range(0, base.shape[1], tile):
        part = slice(begin, begin + tile)
        comparison.add(begin, base[:, part].clone(), made[:, part].clone())
    return comparison.rows()


@pytest.mark.parametrize("tile", [1, 7, 64, 1000])
@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0])
def test_tiles_make_what_the_whole_makes(tile, scale):
    torch.manual_seed(0)
    base = torch.randn(12, 300) * scale
    made = base + torch.randn(12, 300) * 0.1
    tokens = torch.randint(300, (12,))
    rows = compared(base, made, tokens, tile)
    p, q = base.double().log_softmax(-1), made.double().log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1)
    torch.testing.assert_close(rows.kl, kl, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        rows.base_nll, -p.gather(1, tokens[:, None])[:, 0], rtol=0, atol=1e-4
    )
    torch.testing.assert_close(rows.nll, -q.gather(1, tokens[:, None])[:, 0], rtol=0, atol=1e-4)
    assert rows.same_top.tolist() == (base.argmax(-1) == made.argmax(-1)).tolist()


def test_equal_distributions_have_no_divergence():
    logits = torch.randn(5, 100)
    rows = compared(logits, logits, torch.arange(5), 32)
    assert rows.kl.max() < 1e-6
    assert rows.same_top.all()


def test_a_logit_that_is_no_number_is_an_error():
    broken = torch.randn(3, 50)
    broken[1, 7] = torch.nan
    with pytest.raises(QuantizeError, match="no finite number"):
        compared(torch.randn(3, 50), broken, torch.arange(3), 16)


def test_rows_split_and_joined_are_the_same():
    rows = compared(torch.randn(6, 20), torch.randn(6, 20), torch.arange(6), 20)
    again = Rows.joined(rows.split([1, 2, 3]))
    assert all(torch.equal(a, b) for a, b in zip(rows.fields(), again.fields(), strict=True))
