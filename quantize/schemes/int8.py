"""int8, W8A16: weights in 8 bits, a scale for each group of 32 columns. quantize/formats/packed.py.

What a row's largest weight costs its other weights, a group of 32 does not pay; and what engines do
to activations is theirs (docs/adr/0017-groups-and-mixed-bits.md).
"""

from __future__ import annotations

from models.refs import QuantScheme
from quantize.formats.packed import Packed
from quantize.protocol import Form, Options


def make(options: Options) -> Packed:
    """The scheme."""
    return Packed(
        scheme=QuantScheme.INT8,
        method=options.method,
        form=Form(num_bits=8, group_size=options.group_size),
    )
