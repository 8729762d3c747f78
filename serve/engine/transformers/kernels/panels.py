"""Stored integers in panels of 16 outputs, and products with them (``panel_kernels.py``).

A checkpoint's rows are brought into this order once, when it is loaded; the integers stay as they
are. ``rows_of`` is the way back, for embeddings and for products of many rows where a processor
multiplies floats faster than the loops multiply bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from serve.engine.transformers.kernels import layout, native, registry, stored_matrix
from serve.engine.transformers.kernels.arguments import UnpackArguments
from serve.engine.transformers.kernels.layout import Bits, Form
from serve.engine.transformers.kernels.native import Kernel
from serve.engine.transformers.kernels.stored_matrix import FEW_ROWS, Matrix

PANEL, BLOCK = layout.PANEL, layout.BLOCK
"""Outputs side by side, and inputs that share a row's scale."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panels(Matrix):
    """Weights ``[out, in]`` on the CPU: ``(stored - zero) * scale``.

    Attributes:
        bits: of a weight.
        weight: uint8, as ``panel_dot.py`` has it; outputs are filled up to whole panels.
        scale: uint8, the bytes of scales and zero points.
        num_out: outputs, without those that fill the last panel.
        num_in: inputs, a multiple of 32.
        groups: equal parts of them that share a scale.
        has_zeros: whether each group has a zero point.
        scale_bytes: of a scale: 2 is bfloat16, 4 float32.
    """

    bits: Bits
    scale: torch.Tensor
    groups: int
    has_zeros: bool
    scale_bytes: Literal[2, 4]

    @property
    def form(self) -> Form:
        """The form that kernels for these panels are compiled for."""
        return Form(self.bits, self.has_zeros, self.scale_bytes)

    @property
    def kernel(self) -> Kernel:
        return registry.panel_product(self.form)

    def stored_bytes(self) -> int:
        """Bytes in memory."""
        return self.weight.nbytes + self.scale.nbytes


def of_int8(stored: torch.Tensor, scale: torch.Tensor) -> Panels:
    """Symmetric 8-bit weights.

    Args:
        stored: uint8 ``[out, in]``, each plus 128; groups are whole blocks of 32 inputs.
        scale: ``[out, groups]``, float.

    Raises:
        ValueError: they are not.
    """
    return _panels(8, stored, scale, None)


def of_int4(stored: torch.Tensor, scale: torch.Tensor, zeros: torch.Tensor | None) -> Panels:
    """4-bit weights.

    Args:
        stored: uint8 ``[out, in]``, in [0, 15]; groups are whole blocks of 32 inputs.
        scale: ``[out, groups]``, float.
        zeros: uint8 ``[out, groups]``; None: 8 means zero.

    Raises:
        ValueError: they are not.
    """
    return _panels(4, stored, scale, zeros)


def _panels(
    bits: Bits, stored: torch.Tensor, scale: torch.Tensor, zeros: torch.Tensor | None
) -> Panels:
    num_out, num_in = stored.shape
    groups = scale.shape[1]
    if num_in % BLOCK or num_in // BLOCK % groups:
        raise ValueError(
            f"{groups} groups of {num_in} inputs are no whole blocks of {BLOCK}. "
            f"Give groups of {BLOCK} inputs, or of a multiple."
        )
    if scale.dtype is not torch.bfloat16:
        scale = scale.float()
    panels = -(-num_out // PANEL)
    weight = _filled(stored, panels, 1 << (bits - 1)).view(panels, PANEL, num_in // 4, 4)
    weight = weight.transpose(1, 2).contiguous()  # [panel, in/4, 16, 4]
    if bits == 4:
        halves = weight.view(panels, num_in // BLOCK, 2, 4, PANEL, 4)
        weight = halves[:, :, 0] | (halves[:, :, 1] << 4)
    entries = [_filled(scale, panels, 0).view(panels, PANEL, groups).transpose(1, 2)]
    if zeros is not None:
        entries.append(_filled(zeros, panels, 0).view(panels, PANEL, groups).transpose(1, 2))
    parts = [part.contiguous().view(torch.uint8) for part in entries]
    return Panels(
        bits=bits,
        weight=weight.contiguous().view(panels, -1),
        scale=torch.cat(parts, -1).contiguous().view(panels, -1),
        num_out=num_out,
        num_in=num_in,
        groups=groups,
        has_zeros=zeros is not None,
        scale_bytes=2 if scale.dtype is torch.bfloat16 else 4,
    )


def _filled(rows: torch.Tensor, panels: int, value: int) -> torch.Tensor:
    """These rows, and rows of ``value`` up to whole panels."""
    missing = panels * PANEL - len(rows)
    if not missing:
        return rows
    return torch.cat([rows, rows.new_full((missing, rows.shape[1]), value)])


def multiply(panels: Panels, x: torch.Tensor) -> torch.Tensor:
    """float32 ``[N, out]`` of rows ``[N, in]``, which are rounded to 8 bits in blocks of 32."""
    return stored_matrix.product(panels, panels.kernel, x, is_shared=len(x) > FEW_ROWS)


def rows_between(panels: Panels, start: int, stop: int) -> torch.Tensor:
    """float32 ``[stop - start, in]``: the weights of neighbouring outputs.

    Args:
        panels: the matrix.
        start: a multiple of 16.
        stop: behind the last.
    """
    if panels.weight.device.type != "cpu" or not native.is_available():
        return rows_of(panels, torch.arange(start, stop, device=panels.weight.device))
    num_panels = -(-(stop - start) // PANEL)
    first = start // PANEL
    out = torch.empty(num_panels * PANEL, panels.num_in)
    native.run(
        registry.panel_unpacking(panels.form),
        UnpackArguments(
            num_in=panels.num_in,
            num_panels=num_panels,
            groups=panels.groups,
            weight=panels.weight[first].data_ptr(),
            scale=panels.scale[first].data_ptr(),
            out=out.data_ptr(),
        ),
    )
    return out[: stop - start]


def rows_of(panels: Panels, indices: torch.Tensor) -> torch.Tensor:
    """float32 ``[n, in]``: the weights of these outputs.

    Args:
        panels: the matrix.
        indices: int64 ``[n]``.
    """
    panel, lane = indices // PANEL, indices % PANEL
    shape = (len(panels.weight), -1, PANEL, 4)
    stored = panels.weight.view(shape)[panel, :, lane]  # [n, vectors, 4]
    if panels.bits == 4:
        blocks = stored.view(len(indices), panels.num_in // BLOCK, 1, 4, 4)
        stored = torch.cat((blocks & 15, blocks >> 4), 2)
    stored = stored.reshape(len(indices), panels.groups, panels.num_in // panels.groups)
    entries = panels.scale.view(len(panels.scale), panels.groups, -1)[panel]  # [n, groups, bytes]
    num_scales = PANEL * panels.scale_bytes
    kind = torch.bfloat16 if panels.scale_bytes == 2 else torch.float32
    scales = entries[..., :num_scales].contiguous().view(kind)
    at = lane[:, None, None]
    scale = scales.gather(2, at.expand(-1, panels.groups, 1)).float()
    if not panels.has_zeros:
        zero: torch.Tensor | int = 1 << (panels.bits - 1)
    else:
        zero = entries[..., num_scales:].gather(2, at.expand(-1, panels.groups, 1)).float()
    return stored.float().sub_(zero).mul_(scale).view(len(indices), panels.num_in)
