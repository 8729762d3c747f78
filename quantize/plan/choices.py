"""The values of ``--quant`` and ``--scheme``: a scheme, a variant of int4, or a budget of bytes.

``int8``, ``int4-down``, ``auto:6GB``. No torch in here: the server asks before it loads anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from models.refs import QuantScheme
from quantize.errors import OptionError

VARIANTS: Mapping[str, str] = MappingProxyType(
    {
        "": r"\b(?:q|k|v|qkv|o)_proj$",
        "down": r"\b(?:q|k|v|qkv|o|down)_proj$",
    }
)
"""The layers of int4 that keep 8 bits, by the suffix of its name: regular expressions that are
searched in modules' names.

The projections of attention are an eighth of most models and more than half of what 4 bits cost
them; then comes the one back from the feed-forward: docs/quality.md has the figures. Layers that
engines join into one product (candidates.py, ``FUSED``) stand or fall together.
"""
SENSITIVE = VARIANTS[""]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|MB|MiB|GB|GiB)?", re.IGNORECASE)
_UNITS = {"b": 1, "mb": 10**6, "mib": 1 << 20, "gb": 10**9, "gib": 1 << 30}
_BUDGET = "auto:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A way to store weights.

    Attributes:
        variant: of int4: which layers have 8 bits beyond the usual (``VARIANTS``).
    """

    scheme: QuantScheme
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The choice of this name, such as ``int8`` or ``int4-down``.

        Raises:
            OptionError: there is none.
        """
        for choice in NAMED:
            if text == str(choice):
                return cls(scheme=choice.scheme, variant=choice.variant)
        raise OptionError(
            f"{text!r} is no way to store weights. There are {', '.join(map(str, NAMED))}, and "
            "auto:SIZE for the best that fits (auto:6GB)."
        )

    def __str__(self) -> str:
        return f"{self.scheme}-{self.variant}" if self.variant else str(self.scheme)


INT4 = tuple(
    Choice(scheme=QuantScheme.INT4, variant=variant) for variant in sorted(VARIANTS, key=len)
)
NAMED = (
    *(Choice(scheme=scheme) for scheme in QuantScheme),
    *(choice for choice in INT4 if choice.variant),
)
"""All that there are."""
BY_QUALITY = (
    Choice(scheme=QuantScheme.NONE),
    Choice(scheme=QuantScheme.INT8),
    *reversed(INT4),
)
"""Those that a budget chooses from, the best and largest first."""
SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "int8": "weights in 8 bits, a scale for each group (W8A16)",
        "int8-weight-only": "weights in 8 bits, a scale for each row (W8A16)",
        "int8-w8a8": "weights and activations in 8 bits (W8A8)",
        "int4": "weights in 4 bits, a scale and a zero point for each group; the layers that this "
        "costs most in 8 bits (W4A16)",
        "int4-down": "the same with down_proj in 8 bits too",
        "fp8": "weights and activations in 8-bit floating point; for GPUs",
        "nf4": "weights in 4 bits, as bitsandbytes stores them",
        "bnb-int8": "weights and activations in 8 bits, as bitsandbytes stores them",
    }
)
"""Each in a line, for help."""


def budget_of(text: str) -> int | None:
    """The bytes of ``auto:6GB``; None where it is no budget.

    Raises:
        OptionError: its size is none.
    """
    if not text.startswith(_BUDGET):
        return None
    match = _SIZE.fullmatch(text.removeprefix(_BUDGET).strip())
    size = 0 if match is None else int(float(match[1]) * _UNITS[(match[2] or "B").lower()])
    if not size:
        raise OptionError(f"{text!r} names no size; write auto:6GB, auto:6GiB or auto:900MB.")
    return size
