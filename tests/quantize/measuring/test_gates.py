import pytest

from models.refs import QuantScheme
from quantize.measuring import gates
from tests.models.test_quality import QUALITY


@pytest.mark.parametrize("scheme", [*QuantScheme])
def test_larger_models_must_keep_more(scheme):
    sizes = (100_000_000, 1_000_000_000, 7_000_000_000)
    small, middle, large = (gates.gate_of(scheme, size) for size in sizes)
    assert small.max_kl >= middle.max_kl >= large.max_kl
    assert small.min_top1 <= middle.min_top1 <= large.min_top1


def test_four_bits_may_lose_more_than_eight():
    eight, four = (gates.gate_of(s, 7 * 10**9) for s in (QuantScheme.INT8, QuantScheme.INT4))
    assert eight.max_kl < four.max_kl


def test_what_is_too_much_is_said_with_what_is_better():
    said = gates.complaint(QUALITY, QuantScheme.INT8)
    assert "mean KL divergence 0.0123 is not below" in said
    assert "Better: int8, 530.0 MB of weights (--quant int8)." in said


def test_what_holds_is_no_complaint():
    assert gates.complaint(QUALITY, QuantScheme.INT4) is None
