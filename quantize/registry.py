"""Which schemes there are: one for each module in quantize/schemes that has ``make``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import cast

from models.refs import QuantScheme
from quantize import schemes
from quantize.errors import OptionError
from quantize.protocol import Options, Quantizer

Make = Callable[[Options], Quantizer]


def known() -> tuple[QuantScheme, ...]:
    """The schemes that weights can be written in."""
    files = {module.name for module in pkgutil.iter_modules(schemes.__path__)}
    return tuple(
        scheme
        for scheme in QuantScheme
        if _module_name(scheme) in files and hasattr(_module(scheme), "make")
    )


def quantizer(scheme: QuantScheme, options: Options) -> Quantizer:
    """The scheme with these options.

    Raises:
        OptionError: there is no such scheme, or it has no such option.
    """
    if scheme not in known():
        raise OptionError(
            f"weights cannot be written as {str(scheme)!r}. There are {', '.join(known())}."
        )
    return _make(scheme)(options)


def _make(scheme: QuantScheme) -> Make:
    return cast("Make", _module(scheme).make)


def _module(scheme: QuantScheme) -> ModuleType:
    return importlib.import_module(f"quantize.schemes.{_module_name(scheme)}")


def _module_name(scheme: QuantScheme) -> str:
    return scheme.replace("-", "_")
