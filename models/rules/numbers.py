"""Numbers of a configuration as JSON has them: which are above 0, and how a message shows them."""

from __future__ import annotations

import json
import math

_MOST = 60


def is_number(value: object) -> bool:
    """Whether it is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_positive(value: object) -> bool:
    """Whether it is a finite number above 0."""
    return is_number(value) and value > 0  # type: ignore[operator]


def shown(value: object) -> str:
    """The value, in JSON's words where those are plain, cut to what a message holds."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return repr(value)[:_MOST]
