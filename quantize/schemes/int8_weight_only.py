"""int8-weight-only, W8A16: weights in 8 bits, a scale for each row: see formats/packed.py."""

from __future__ import annotations

from models.refs import QuantScheme
from quantize.formats.packed import Packed
from quantize.protocol import Form, Options


def make(options: Options) -> Packed:
    """The scheme; it has no groups."""
    return Packed(scheme=QuantScheme.INT8_WEIGHT_ONLY, method=options.method, form=Form(num_bits=8))
