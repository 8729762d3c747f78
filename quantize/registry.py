"""The schemes that weights can be written in, and the module of each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.protocol import Quantizer, SchemeOptions

Make = Callable[[QuantScheme, SchemeOptions], Quantizer]
"""``make`` of a scheme's module."""

MODULES: Mapping[QuantScheme, str] = MappingProxyType(
    {
        QuantScheme.INT8: "packed",
        QuantScheme.INT8_WEIGHT_ONLY: "packed",
        QuantScheme.INT8_W8A8: "by_row",
        QuantScheme.INT4: "packed",
        QuantScheme.FP8: "by_row",
        QuantScheme.NF4: "nf4",
        QuantScheme.BNB_INT8: "by_row",
    }
)
"""In quantize/schemes. Imported when it is asked for: bitsandbytes alone takes a second."""


def quantizer(scheme: QuantScheme, options: SchemeOptions) -> Quantizer:
    """The scheme with these options.

    Raises:
        OptionError: there is no such scheme, or it has no such option.
    """
    if scheme not in MODULES:
        raise OptionError(
            f"weights cannot be written as {str(scheme)!r}. There are {', '.join(MODULES)}."
        )
    module = importlib.import_module(f"quantize.schemes.{MODULES[scheme]}")
    return cast("Make", module.make)(scheme, options)
