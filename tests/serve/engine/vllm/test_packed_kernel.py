"""Our loops as a kernel of vLLM's: which weights it takes, and what it computes of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from quantize.formats import packing

pytest.importorskip("vllm", reason="vLLM is not installed")

from vllm.scalar_type import scalar_types

from serve.engine.transformers.kernels import native
from serve.engine.vllm import packed_kernel
from serve.engine.vllm.packed_kernel import PanelKernel

COLUMNS, OUT = 64, 40
TYPES = {8: scalar_types.uint8b128, 4: scalar_types.uint4b8}


def config(num_in: int = COLUMNS, group: int = 32, **settings: Any) -> Any:
    given = {"weight_type": scalar_types.uint8b128, "zero_points": False} | settings
    return SimpleNamespace(partition_weight_shape=(num_in, OUT), group_size=group, **given)


@pytest.mark.parametrize(("num_in", "group"), [(64, 32), (64, 64), (64, -1), (96, 96)])
def test_groups_of_whole_blocks_are_taken(num_in: int, group: int) -> None:
    assert PanelKernel.can_implement(config(num_in, group)) == (True, None)


@pytest.mark.parametrize(("num_in", "group"), [(48, -1), (64, 16), (96, 64)])
def test_others_are_refused_with_the_reason(num_in: int, group: int) -> None:
    size = num_in if group == -1 else group
    reason = f"groups of {size} of {num_in} inputs are no whole blocks of 32"
    assert PanelKernel.can_implement(config(num_in, group)) == (False, reason)


def test_types_that_have_no_loop_are_refused() -> None:
    can, reason = PanelKernel.can_implement(config(weight_type=scalar_types.float4_e2m1f))
    assert not can
    assert reason is not None
    assert reason.startswith("it has no loop for")


def kernel_of(bits: int) -> tuple[PanelKernel, torch.nn.Module, torch.Tensor]:
    """As vLLM makes one, a layer with what its loader put there, and the weights in float64."""
    half = 1 << (bits - 1)
    values = torch.randint(-half, half, (OUT, COLUMNS), dtype=torch.int8)
    scale = (torch.rand(OUT, COLUMNS // 32) * 0.01).bfloat16()
    layer = torch.nn.Module()
    layer.words = torch.nn.Parameter(packing.pack(values, bits), requires_grad=False)
    layer.scale = torch.nn.Parameter(scale, requires_grad=False)
    kernel = PanelKernel.__new__(PanelKernel)
    kernel.config = config(weight_type=TYPES[bits])
    kernel.w_q_name, kernel.w_s_name, kernel.w_zp_name = "words", "scale", None
    kernel.w_gidx_name = None
    return kernel, layer, values.double() * scale.double().repeat_interleave(32, 1)


@pytest.mark.skipif(not native.is_available(), reason="loops cannot be compiled here")
@pytest.mark.parametrize("bits", [8, 4])
def test_what_vllm_loaded_is_multiplied(bits: int) -> None:
    torch.manual_seed(bits)
    kernel, layer, weight = kernel_of(bits)
    kernel.process_weights_after_loading(layer)
    x, bias = torch.randn(2, 3, COLUMNS), torch.randn(OUT)
    result = kernel.apply_weights(layer, x, bias)
    expected = x.double() @ weight.T + bias.double()
    assert result.shape == (2, 3, OUT)
    assert (result.double() - expected).norm() / expected.norm() < 0.01  # rows are rounded
    torch.testing.assert_close(kernel.apply_weights(layer, x) + bias, result)


@pytest.mark.skipif(not native.is_available(), reason="loops cannot be compiled here")
def test_zero_points_go_into_the_panels() -> None:
    """What held them is given up, for they are beside the scales then."""
    torch.manual_seed(0)
    kernel, layer, _ = kernel_of(4)
    kernel.config = config(weight_type=scalar_types.uint4, zero_points=True)
    kernel.w_zp_name = "zeros"
    stored = torch.randint(0, 16, (OUT, COLUMNS), dtype=torch.uint8)
    zeros = torch.randint(0, 16, (OUT, COLUMNS // 32), dtype=torch.uint8)
    for name, words in (
        ("words", packing.pack(stored.to(torch.int8) - 8, 4)),
        ("zeros", packing.pack_rows(zeros)),
    ):
        setattr(layer, name, torch.nn.Parameter(words, requires_grad=False))
    scale = layer.scale.detach().double().repeat_interleave(32, 1)
    weight = (stored.double() - zeros.double().repeat_interleave(32, 1)) * scale
    kernel.process_weights_after_loading(layer)
    assert layer.zeros is None
    x = torch.randn(3, COLUMNS)
    expected = x.double() @ weight.T
    assert (kernel.apply_weights(layer, x).double() - expected).norm() / expected.norm() < 0.01


@pytest.mark.skipif(not native.is_available(), reason="loops cannot be compiled here")
def test_a_row_for_each_input_is_turned_over() -> None:
    """As AWQ and GPTQ have it: words of 8 inputs by outputs, and scales of groups by outputs."""
    torch.manual_seed(1)
    kernel, layer, weight = kernel_of(4)
    for name in ("words", "scale"):
        parameter = torch.nn.Parameter(getattr(layer, name).data.t().contiguous(), False)
        parameter.input_dim, parameter.output_dim = 0, 1
        setattr(layer, name, parameter)
    layer.zeros = torch.nn.Parameter(torch.zeros(2, 5, dtype=torch.int32), requires_grad=False)
    kernel.w_zp_name = "zeros"  # GPTQ has them, symmetric as it is
    kernel.process_weights_after_loading(layer)
    assert layer.zeros is None
    x = torch.randn(3, COLUMNS)
    expected = x.double() @ weight.T
    assert (kernel.apply_weights(layer, x).double() - expected).norm() / expected.norm() < 0.01


@pytest.mark.parametrize("bits", [8, 4])
def test_rows_of_an_embedding_are_looked_up(bits: int) -> None:
    half = 1 << (bits - 1)
    values = torch.randint(-half, half, (9, COLUMNS), dtype=torch.int8)
    scale = torch.rand(9, 2).bfloat16()
    ids = torch.tensor([8, 0, 8])
    rows = packed_kernel._gather(ids, packing.pack(values, bits), scale, COLUMNS, bits)
    expected = values.float() * scale.float().repeat_interleave(32, 1)
    assert torch.equal(rows, expected[ids].bfloat16())
