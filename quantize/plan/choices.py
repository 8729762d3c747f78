"""What ``--quant`` and ``--scheme`` may say: a scheme, a variant of int4, or a budget of bytes.

``int8``, ``int4-down``, ``auto:6GB``. No torch in here: the server asks before it loads anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.plan.sensitive import VARIANTS

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|MB|MiB|GB|GiB)?", re.IGNORECASE)
_UNITS = {"b": 1, "mb": 10**6, "mib": 1 << 20, "gb": 10**9, "gib": 1 << 30}
_BUDGET = "auto:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How weights are to be stored.

    Attributes:
        variant: of int4: which layers beyond the usual have 8 bits (quantize/plan/sensitive.py).
    """

    scheme: QuantScheme
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The choice of this name, such as ``int8`` or ``int4-down``.

        Raises:
            OptionError: there is none.
        """
        for each in NAMED:
            if text == str(each):
                return cls(scheme=each.scheme, variant=each.variant)
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
"""What a budget chooses from, the best and largest first."""


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
