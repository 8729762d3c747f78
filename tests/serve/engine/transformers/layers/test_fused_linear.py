"""Projections of the same rows, computed as one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from serve.engine.transformers.layers.bfloat16_linear import BFloat16Linear, install
from serve.engine.transformers.layers.fused_linear import Part, fuse, groups


class Counted(nn.Linear):
    """How often the wide layer is computed."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(x)


class Attention(nn.Module):
    def __init__(self, *, biases: tuple[bool, bool, bool] = (True, True, True)) -> None:
        super().__init__()
        self.q_proj = nn.Linear(8, 12, bias=biases[0])
        self.k_proj = nn.Linear(8, 4, bias=biases[1])
        self.v_proj = nn.Linear(8, 4, bias=biases[2])
        self.o_proj = nn.Linear(12, 8)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.q_proj(x), self.k_proj(x), self.v_proj(x)]


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def test_names_of_siblings_go_together_and_keep_their_order() -> None:
    names = ["a.k_proj", "a.q_proj", "a.o_proj", "a.v_proj", "b.q_proj", "b.up_proj", "b.gate_proj"]
    assert list(groups(names)) == [
        ["a.q_proj", "a.k_proj", "a.v_proj"],
        ["a.o_proj"],
        ["b.q_proj"],
        ["b.gate_proj", "b.up_proj"],
    ]


def test_the_parts_are_the_layers() -> None:
    model = nn.ModuleDict({"attention": Attention()})
    x = torch.randn(2, 3, 8)
    expected = model["attention"](x)
    assert fuse(model) == 1
    attention = model["attention"]
    assert isinstance(attention.k_proj, Part)
    assert type(attention.o_proj) is nn.Linear
    for ours, plain in zip(attention(x), expected, strict=True):
        torch.testing.assert_close(ours, plain)
    assert len([module for module in model.modules() if type(module) is nn.Linear]) == 2


def test_rows_are_read_once_and_not_kept() -> None:
    attention = Attention()
    fuse(attention)
    wide = attention.v_proj.whole
    wide.__class__ = Counted
    x, y = torch.randn(1, 8), torch.randn(1, 8)
    first = attention(x)
    assert wide.calls == 1
    assert attention.q_proj._last._rows is None
    second = attention(y)
    assert wide.calls == 2
    assert not torch.equal(first[0], second[0])


def test_different_rows_in_turn_get_their_own_answers() -> None:
    attention, plain = Attention(), Attention()
    plain.load_state_dict(attention.state_dict())
    fuse(attention)
    x, y = torch.randn(1, 8), torch.randn(1, 8)
    torch.testing.assert_close(attention.q_proj(x), plain.q_proj(x))
    torch.testing.assert_close(attention.k_proj(y), plain.k_proj(y))
    torch.testing.assert_close(attention.v_proj(x), plain.v_proj(x))


def test_what_takes_the_wide_layers_place_is_what_computes() -> None:
    attention = Attention().to(torch.bfloat16)
    x = torch.randn(5, 8).bfloat16()
    expected = attention(x)
    fuse(attention)
    assert install(attention) == 2
    assert isinstance(attention.v_proj.whole, BFloat16Linear)
    for ours, plain in zip(attention(x), expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0.02, atol=0.02)
    assert [name for name, _ in attention.named_parameters()] == [
        *("q_proj.wide.weight", "q_proj.wide.bias"),
        *("o_proj.weight", "o_proj.bias"),
    ]


def test_layers_that_differ_stay_apart() -> None:
    assert fuse(Attention(biases=(True, True, False))) == 0
    mixed = Attention()
    mixed.k_proj.to(torch.bfloat16)
    assert fuse(mixed) == 0
