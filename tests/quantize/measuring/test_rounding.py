import pytest
import torch

from models.refs import QuantScheme
from quantize.measuring import rounding


def plainly(values: torch.Tensor, block: int) -> torch.Tensor:
    """Value by value."""
    made = values.clone()
    for row in made:
        for begin in range(0, len(row), block):
            part = row[begin : begin + block]
            scale = part.abs().max() / 127
            part.copy_((part / scale).round() * scale)
    return made


def test_blocks_of_32():
    values = torch.randn(150, 96) * torch.rand(150, 1)
    torch.testing.assert_close(rounding.in_blocks(values), plainly(values, 32))


def test_a_last_block_may_be_shorter():
    values = torch.randn(3, 40)
    torch.testing.assert_close(rounding.in_blocks(values), plainly(values, 32))


def test_whole_rows():
    values = torch.randn(3, 96)
    torch.testing.assert_close(rounding.by_token(values), plainly(values, 96))


def test_zeros_stay():
    assert rounding.in_blocks(torch.zeros(2, 64)).abs().max() == 0
    assert rounding.floats_by_token(torch.zeros(2, 64)).abs().max() == 0


def test_floats_keep_three_bits_of_a_number():
    values = torch.randn(4, 64)
    made = rounding.floats_by_token(values)
    assert ((made - values).abs() <= values.abs() / 16 + 1e-3).all()


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (QuantScheme.INT8, rounding.in_blocks),
        (QuantScheme.INT4, rounding.in_blocks),
        (QuantScheme.INT8_W8A8, rounding.by_token),
        (QuantScheme.BNB_INT8, rounding.by_token),
        (QuantScheme.FP8, rounding.floats_by_token),
        (QuantScheme.NF4, None),
        (QuantScheme.INT8_WEIGHT_ONLY, rounding.in_blocks),
        (QuantScheme.NONE, None),
    ],
)
def test_each_scheme_has_its_own(scheme, expected):
    assert rounding.of_scheme(scheme) is expected
