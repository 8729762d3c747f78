"""int4, W4A16: weights in 4 bits, a scale and a zero point for each group of a row; layers that 4
bits cost most in 8 bits (quantize/plan/sensitive.py). quantize/formats/packed.py.
"""

from __future__ import annotations

import re

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.formats.packed import Packed
from quantize.protocol import Form, Options


def make(options: Options) -> Packed:
    """The scheme.

    Raises:
        OptionError: which layers are sensitive is no regular expression.
    """
    try:
        sensitive = re.compile(options.sensitive) if options.sensitive else None
    except re.error as error:
        raise OptionError(
            f"--sensitive {options.sensitive!r} is no regular expression: {error}"
        ) from None
    return Packed(
        scheme=QuantScheme.INT4,
        method=options.method,
        form=Form(num_bits=4, group_size=options.group_size, is_symmetric=options.is_symmetric),
        sensitive=sensitive,
        embedding_bits=options.embedding_bits,
        searches_8_bits=False,
    )
