"""Few sizes for products: rows and columns are filled up to the next of them.

oneDNN, which multiplies bfloat16 on a CPU, compiles a kernel for each shape that it has not seen
and keeps the last thousand: some 0.7 MB and 1 ms each. With rows as they come every prompt of a new
length pays for several, and a server grows by hundreds of megabytes (docs/lab-notes.md). Of 512
numbers of rows 16 are left; at most a quarter is filling, a twelfth on average.
"""

from __future__ import annotations

import torch
from torch.nn.functional import pad

STEP = 16
PER_OCTAVE = 4


def rounded(num: int) -> int:
    """The least size that holds so many: multiples of STEP, from 128 on PER_OCTAVE an octave."""
    step = max(STEP, (1 << (num - 1).bit_length()) // (2 * PER_OCTAVE))
    return -(-num // step) * step


def filled(rows: torch.Tensor) -> torch.Tensor:
    """Rows ``[N, in]`` with zeros below: ``[rounded(N), in]``, contiguous."""
    return pad(rows, (0, 0, 0, rounded(len(rows)) - len(rows)))
