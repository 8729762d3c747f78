"""Small integers in 32-bit words, in the order of compressed-tensors' "pack-quantized" layout.

A word holds ``32 / num_bits`` neighbours of a row, the first in its lowest bits, each plus
``2 ** (num_bits - 1)`` so that none is negative (compressed-tensors 0.17,
`compressors/pack_quantized`). On a little-endian machine, the only kind that torch has builds for
here, that is a row of bytes with two neighbours in each, or one of 8 bits.
"""

from __future__ import annotations

import torch


def pack(values: torch.Tensor, num_bits: int) -> torch.Tensor:
    """int8 ``[n, columns]`` → int32 ``[n, columns * num_bits / 32]``.

    Args:
        values: within ``num_bits`` bits, signed.
        num_bits: 4 or 8. A row must fill its words.
    """
    raised = (values.to(torch.int16) + (1 << (num_bits - 1))).to(torch.uint8)
    if num_bits == 4:
        raised = raised[:, 0::2] | (raised[:, 1::2] << 4)
    return raised.contiguous().view(torch.int32)


def pack_rows(values: torch.Tensor) -> torch.Tensor:
    """Zero points of 4 bits, uint8 ``[n, groups]`` in 0..15 → int32 ``[ceil(n / 8), groups]``.

    A word holds eight neighbours of a column, the first in its lowest bits.
    """
    whole = torch.nn.functional.pad(values, (0, 0, 0, -len(values) % 8))
    pairs = whole[0::2] | (whole[1::2] << 4)
    words = torch.empty(len(pairs) // 4, values.shape[1], 4, dtype=torch.uint8)
    words.copy_(pairs.view(-1, 4, values.shape[1]).transpose(1, 2))
    return words.view(torch.int32)[..., 0]


def unpack_rows(words: torch.Tensor) -> torch.Tensor:
    """The other way round: uint8 ``[8 * n, groups]`` in 0..15."""
    pairs = words.contiguous().unsqueeze(-1).view(torch.uint8).transpose(1, 2)
    return torch.stack((pairs & 15, pairs >> 4), dim=2).reshape(-1, words.shape[1])


def unpack(words: torch.Tensor, num_bits: int) -> torch.Tensor:
    """The other way round: int8 ``[n, columns]``."""
    raised = words.contiguous().view(torch.uint8)
    if num_bits == 4:
        raised = torch.stack((raised & 15, raised >> 4), dim=-1).flatten(1)
    return (raised.to(torch.int16) - (1 << (num_bits - 1))).to(torch.int8)
