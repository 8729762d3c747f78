"""Our loops over packed weights, as a kernel of vLLM's CPU build.

vLLM's own kernel for packed weights takes 4 bits only on a CPU, and its quantised embedding needs
Triton. With this both of the CPU's engines compute the same from the same artifact: 8-bit and
4-bit weights in groups, activations in blocks of 32 (``transformers/layers/packed_linear.py``).

``install`` is for a worker's process, before it loads a model. On GPUs vLLM's own kernels are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from vllm.model_executor.kernels import linear as vllm_linear
from vllm.model_executor.kernels.linear import MPLinearKernel, MPLinearLayerConfig
from vllm.model_executor.layers.quantization.compressed_tensors import compressed_tensors_embedding
from vllm.platforms import current_platform
from vllm.platforms.interface import PlatformEnum
from vllm.scalar_type import scalar_types

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.panels import BLOCK, Panels
from serve.engine.transformers.layers import packed_linear
from serve.engine.transformers.loader import packed_weights
from serve.engine.transformers.loader.packed_weights import Integers

_BITS: Mapping[Any, Literal[8, 4]] = {
    scalar_types.uint8b128: 8,
    scalar_types.uint4b8: 4,
    scalar_types.uint4: 4,
}


class PanelKernel(MPLinearKernel):  # type: ignore[misc]  # vLLM is not typed
    """Packed weights in groups of whole blocks; brought into panels once they are loaded."""

    _form: tuple[int, ...] = ()

    @classmethod
    def get_min_capability(cls) -> int:
        return -1

    @classmethod
    def can_implement(cls, c: MPLinearLayerConfig) -> tuple[bool, str | None]:
        num_in = c.partition_weight_shape[0]
        group = num_in if c.group_size == -1 else c.group_size
        if c.weight_type not in _BITS:
            return False, f"it has no loop for {c.weight_type}"
        if num_in % BLOCK or group % BLOCK or num_in % group:
            return False, f"groups of {group} of {num_in} inputs are no whole blocks of {BLOCK}"
        return True, None

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        stored_words, stored_scale, zero_words = self._get_weight_params(layer)
        words, scale = _outputs_first(stored_words), _outputs_first(stored_scale)
        bits: Literal[8, 4] = _BITS[self.config.weight_type]
        zeros = None
        if self.config.zero_points:
            zeros = packed_weights.of_zero_words(zero_words.data, len(scale))
        panels = Integers(
            bits=bits,
            weight=packed_weights.of_words(words, bits, self.config.partition_weight_shape[0]),
            scale=scale,
            zeros=zeros,
        ).panels()
        sizes = (panels.num_out, panels.num_in, panels.groups, int(panels.has_zeros))
        self._form = (bits, *sizes, panels.scale_bytes)
        for name, data in ((self.w_q_name, panels.weight), (self.w_s_name, panels.scale)):
            setattr(layer, name, torch.nn.Parameter(data, requires_grad=False))
        if zero_words is not None:  # GPTQ stores them without need
            setattr(layer, self.w_zp_name, None)

    def apply_weights(
        self, layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        words, scale, _ = self._get_weight_params(layer)
        result: torch.Tensor = _multiply(x.reshape(-1, x.shape[-1]), words, scale, self._form)
        if bias is not None:
            result = result + bias
        return result.view(*x.shape[:-1], self._form[1])


def _outputs_first(parameter: Any) -> torch.Tensor:
    """The numbers with a row for each output. AWQ and GPTQ have a row for each input, or group."""
    data: torch.Tensor = parameter.data
    return data.t() if getattr(parameter, "output_dim", 0) == 1 else data


@torch.library.custom_op("intramural::multiply_panels", mutates_args=())
def _multiply(
    x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, form: Sequence[int]
) -> torch.Tensor:
    """``[N, out]`` of rows ``[N, in]``: an operator, for vLLM's compiler cannot look into it.

    Args:
        x: rows.
        weight: of panels.
        scale: of panels.
        form: bits, outputs, inputs, groups, whether there are zero points, bytes of a scale.
    """
    bits, num_out, num_in, groups, has_zeros, scale_bytes = form
    panels = Panels(
        bits=8 if bits == 8 else 4,
        weight=weight,
        scale=scale,
        num_out=num_out,
        num_in=num_in,
        groups=groups,
        has_zeros=bool(has_zeros),
        scale_bytes=2 if scale_bytes == 2 else 4,
    )
    return packed_linear.product(panels, x).to(x.dtype)


@_multiply.register_fake
def _(x: torch.Tensor, _weight: Any, _scale: Any, form: Sequence[int]) -> torch.Tensor:
    return x.new_empty(x.shape[0], form[1])  # len() would fix it


def _gather(
    ids: torch.Tensor,
    weight_packed: torch.Tensor,
    weight_scale: torch.Tensor,
    hidden: int,
    num_bits: int,
) -> torch.Tensor:
    """Rows ``[n, hidden]`` of a symmetric packed embedding; vLLM's own function needs Triton."""
    places = torch.arange(0, 32, num_bits)
    stored = (weight_packed[ids][..., None] >> places) & ((1 << num_bits) - 1)
    levels = stored.view(ids.shape[0], weight_scale.shape[1], -1) - (1 << (num_bits - 1))
    scale = weight_scale[ids][..., None]
    return (levels.float() * scale.float()).view(ids.shape[0], hidden).to(weight_scale.dtype)


def install() -> None:
    """Put our kernel before vLLM's own, for workers on a CPU in this process."""
    if not current_platform.is_cpu() or not native.is_available():
        return
    kernels = vllm_linear._POSSIBLE_KERNELS[PlatformEnum.CPU]  # noqa: SLF001 - its register function puts one last
    if PanelKernel not in kernels:
        kernels.insert(0, PanelKernel)
    compressed_tensors_embedding._dequant_gather_triton = _gather  # noqa: SLF001 - the one that calls Triton
