"""The limits that a key may have: their names, and the values that they take.

Stored and shown here, enforced elsewhere. Counts are integers; money is a decimal text, such as
``"2.50"``, as floats would round it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

COUNTS: Final = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_requests",
    "tokens_per_day",
)
AMOUNTS: Final = ("money_per_day", "money_per_month")
LIMIT_NAMES: Final = (*COUNTS, *AMOUNTS)
MAX_COUNT: Final = 10**12

_MONEY = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")

Limits = Mapping[str, int | str]


def checked_limits(given: Mapping[str, Any]) -> dict[str, int | str]:
    """The limits, in the order of their names. Raises ValueError for one that is none."""
    for name, value in given.items():
        if name not in LIMIT_NAMES:
            raise ValueError(f"no limit is called {name!r}: there are {', '.join(LIMIT_NAMES)}")
        if name in COUNTS and (type(value) is not int or not 0 <= value <= MAX_COUNT):
            raise ValueError(f"{name} is {value!r}: an integer from 0 to {MAX_COUNT} is needed")
        if name in AMOUNTS and not (isinstance(value, str) and _MONEY.fullmatch(value)):
            raise ValueError(
                f"{name} is {value!r}: a decimal in quotes such as '2.50' is needed, with at most "
                "six places"
            )
    return {name: given[name] for name in LIMIT_NAMES if name in given}


def limit_of(text: str) -> tuple[str, int | str | None]:
    """A limit as a command line has it, ``NAME=VALUE``; the value None takes it away (``none``).

    Raises:
        ValueError: it is none.
    """
    name, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"{text!r}: NAME=VALUE is needed, such as tokens_per_day=100000")
    if value == "none":
        checked_limits({name: "0" if name in AMOUNTS else 0})
        return name, None
    is_count = name in COUNTS and re.fullmatch(r"[0-9]{1,13}", value) is not None
    checked = checked_limits({name: int(value) if is_count else value})
    return name, checked[name]
