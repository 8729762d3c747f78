"""Layout of numbers in memory for the compiled loops: sizes that Python and compiled code share.

No Numba is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LANES = 16
"""Numbers in a vector; a row of floats is whole vectors."""
PANEL = 16
"""Outputs of stored integers side by side."""
BLOCK = 32
"""Inputs that share a row's scale."""

BLOCK_SIZE = 32
"""Tokens of a block of the KV cache. Prompts share whole blocks, and attention's tiles have as many
rows (layers/span_attention.py); fewer would be more copies for each prompt that is gathered."""

FloatKind = Literal["bfloat16", "float32"]
"""Type of a stored floating-point weight."""
Bits = Literal[8, 4]
"""Bits of a stored integer weight."""


@dataclass(frozen=True, slots=True)
class Form:
    """Storage of a matrix in panels.

    Attributes:
        bits: of a weight.
        has_zeros: a zero point for each output and group; else 128 or 8 means zero.
        scale_bytes: 2 for bfloat16, 4 for float32.
    """

    bits: Bits
    has_zeros: bool = False
    scale_bytes: Literal[2, 4] = 2

    @property
    def zero(self) -> int:
        """The zero point that all weights share; 1 where each group has its own.

        A row's sums are multiplied with it beforehand.
        """
        return 1 if self.has_zeros else 1 << (self.bits - 1)

    @property
    def block_bytes(self) -> int:
        """Bytes of a panel's weights in one block."""
        return PANEL * BLOCK * self.bits // 8

    @property
    def entry_bytes(self) -> int:
        """Bytes of a panel's scales, and zero points, in one group."""
        return PANEL * (self.scale_bytes + self.has_zeros)


STATE = 16
"""Floats that are kept before a head's sums (``attention_vectors.soften``): a cache line."""
MOST_SPLITS = 8
"""Parts of one row's context that threads attend to apart."""
_LEAST_SPLIT = 16
"""Blocks of a part, where there are more than these: some ten microseconds of work."""


def split_size(num_blocks: int) -> int:
    """Blocks of the KV cache in one part of a row's context; the last part may have fewer.

    It depends on nothing but the row, and so do the row's sums.
    """
    return max(_LEAST_SPLIT, -(-num_blocks // MOST_SPLITS))


def num_splits(num_blocks: int) -> int:
    """Parts of a context of so many blocks: no fewer for a longer one."""
    return -(-num_blocks // split_size(num_blocks))


@dataclass(frozen=True, slots=True)
class AttendSizes:
    """Sizes of what attention's kernel needs beside the cache.

    Attributes:
        group: query heads that share a key-value head.
        dim: numbers in a head.
        block_size: tokens of a block in the cache.
    """

    group: int
    dim: int
    block_size: int

    @property
    def entry(self) -> int:
        """Floats of a head's sums, in whole vectors, and of what is kept before them."""
        return STATE + -(-self.dim // (2 * LANES)) * 2 * LANES

    @property
    def scratch(self) -> int:
        """Floats of a thread: the keys of a vector of tokens, and a block's weights."""
        return self.entry * LANES + self.group * self.block_size
