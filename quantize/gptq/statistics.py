"""Which inputs a layer gets: the sums of their products, and what rounding makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from quantize.gptq import compensation
from quantize.gptq.compensation import Factor

_ROWS = 2048


@dataclass(slots=True)
class Inputs:
    """The factor for the layer that is rounded, kept for its siblings: q, k and v read the same."""

    _last: torch.Tensor | None = None
    _factor: Factor | None = None

    def factor(self, inputs: torch.Tensor, group_size: int | None) -> Factor:
        """For ``inputs`` ``[n, num_in]``, float32; siblings' groups are of one size.

        Raises:
            BadWeightsError: they hold NaN or infinity.
        """
        if self._factor is None or self._last is None or not _is_same(inputs, self._last):
            self._factor = None  # two of them would be held while the next is made
            products = torch.zeros(inputs.shape[1], inputs.shape[1])
            for begin in range(0, len(inputs), _ROWS):
                rows = inputs[begin : begin + _ROWS]
                products.addmm_(rows.T, rows)
            self._factor = compensation.factor(products, group_size)
            self._last = inputs
        return self._factor


def _is_same(inputs: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether it is the same memory; ``other`` is held, so no new one can lie there."""
    return inputs.data_ptr() == other.data_ptr() and inputs.shape == other.shape
