"""Few sizes for products: rows and columns are filled up to the next of them.

oneDNN, which multiplies bfloat16 on a CPU, compiles a kernel for each shape that it has not seen
and keeps the last thousand: some 0.7 MB and 1 ms each. With rows as they come every prompt of a new
length pays for several, and a server grows by hundreds of megabytes (docs/lab-notes.md). Of 512
numbers of rows 16 are left; at most a quarter is filling, a twelfth on average. Columns of an
attention's tile, which a context has by the thousand, have 10 sizes up to 2,048; what fills them is
a small part of a prompt's work.
"""

from __future__ import annotations

import torch
from torch.nn.functional import pad

ROW_STEP, ROWS_PER_OCTAVE = 16, 4
COLUMN_STEP, COLUMNS_PER_OCTAVE = 64, 2


def rounded(num: int) -> int:
    """The least number of rows that holds so many: multiples of 16, from 128 on four an octave."""
    return _size(num, ROW_STEP, ROWS_PER_OCTAVE)


def rounded_columns(num: int) -> int:
    """The least number of columns that holds so many: of 64, from 256 on two an octave."""
    return _size(num, COLUMN_STEP, COLUMNS_PER_OCTAVE)


def _size(num: int, least_step: int, per_octave: int) -> int:
    step = max(least_step, (1 << (num - 1).bit_length()) // (2 * per_octave))
    return -(-num // step) * step


def filled(rows: torch.Tensor) -> torch.Tensor:
    """Rows ``[N, in]`` with zeros below: ``[rounded(N), in]``, contiguous."""
    return pad(rows, (0, 0, 0, rounded(len(rows)) - len(rows)))
