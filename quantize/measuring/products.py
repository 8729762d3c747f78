"""Linear layers multiplied as an engine does, a tile of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from quantize.measuring.matrices import Folder, Matrix, tiles
from quantize.measuring.network import Multiply
from quantize.measuring.rounding import Rounding

Advance = Callable[[int], None]
"""Told how many bytes of weights were read."""


def streamed(folder: Folder, rounding: Rounding | None, advance: Advance) -> Multiply:
    """Products with the weights of ``folder``.

    Args:
        folder: open.
        rounding: of the inputs of quantised layers; other layers get theirs as they are.
        advance: told of each layer's bytes.
    """

    def multiply(name: str, inputs: torch.Tensor) -> torch.Tensor:
        matrix = folder.matrix(name)
        products = torch.empty(len(inputs), matrix.num_out)
        inputs = rounded(inputs, matrix, rounding)
        for begin, end, tile in tile_products(inputs, matrix):
            products[:, begin:end] = tile
        advance(matrix.num_bytes)
        return products

    return multiply


def rounded(inputs: torch.Tensor, matrix: Matrix, rounding: Rounding | None) -> torch.Tensor:
    """The inputs as they reach the multiplication."""
    return rounding(inputs) if rounding is not None and matrix.is_quantised else inputs


def tile_products(inputs: torch.Tensor, matrix: Matrix) -> Iterator[tuple[int, int, torch.Tensor]]:
    """First and last row (exclusive) of each tile, and the inputs' products with it."""
    for begin, end in tiles(matrix):
        yield begin, end, inputs @ matrix.rows(begin, end).T
