"""What every quantised layer has: any shape of rows, none at all, and names for what it holds."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import nn

from serve.engine.transformers.layers.quantized_linear import QuantizedLinear


class Doubling(QuantizedLinear):
    """Rows of three, each number twice."""

    stored_as, scheme = "int8", "int8 (W8A8)"

    def __init__(self, bias: nn.Parameter | None = None) -> None:
        super().__init__(3, 6, bias)

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        assert len(x), "a product is never asked for without rows"
        return torch.cat([x, x], -1)

    def stored_bytes(self) -> Mapping[str, int]:
        return {"int8": 18}


@pytest.mark.parametrize("shape", [(3,), (1, 3), (5, 3), (2, 4, 3)])
def test_rows_keep_their_shape(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    assert torch.equal(Doubling()(x), torch.cat([x, x], -1))


def test_rows_need_not_lie_together() -> None:
    x = torch.randn(2, 4, 3).transpose(0, 1)
    assert torch.equal(Doubling()(x), torch.cat([x, x], -1))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3)])
def test_no_rows_are_no_product(shape: tuple[int, ...]) -> None:
    result = Doubling()(torch.zeros(shape, dtype=torch.bfloat16))
    assert result.shape == (*shape[:-1], 6)
    assert result.dtype is torch.bfloat16


def test_it_has_no_weight_of_torchs() -> None:
    """What looks for parameters finds the bias alone: the integers are counted by themselves."""
    layer = Doubling(nn.Parameter(torch.zeros(6), requires_grad=False))
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
    assert layer.matrix is None
    assert not hasattr(layer, "weight")


def test_a_layer_has_to_say_what_it_stores() -> None:
    class Silent(QuantizedLinear):
        def multiply(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(TypeError, match="abstract methods"):
        Silent(3, 3, None)  # type: ignore[abstract]
