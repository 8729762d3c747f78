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
rows (layers/attention.py); fewer would be more copies for each prompt that is gathered."""

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
