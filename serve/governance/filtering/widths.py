r"""Widths of patterns: how many characters a match of one may have, at most.

A stream is held back by as much as the longest match, so a pattern without a bound is refused. RE2
does not tell it; Python's own reader of patterns does. It reads RE2's names of classes
(``\p{Han}``, ``[:alpha:]``) as one character each, and both libraries have to take the pattern.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any, Final, cast

import re2

MAX_WIDTH: Final = 256
MAX_MEMORY: Final = 64 << 20
"""For one pattern, and for all of a tenant's rules together."""
_UNICODE_CLASS = re.compile(r"\\[pP](?:\{\^?\w+\}|\w)")
_POSIX_CLASS = re.compile(r"\[:\^?\w+:\]")
_CODE = re.compile(r"\\x\{[0-9A-Fa-f]+\}")
_PLACES = re.compile(r"\\[AbBzZ]|[$^]")


def compiled(pattern: str) -> tuple[Any, int]:
    """A pattern and the longest match's width in characters; capitals are small letters to it.

    Raises:
        ValueError: it is none, matches nothing at all, has no bound, or looks at a match's
            surroundings.
    """
    try:
        found = re2.compile(pattern, _options())
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        told = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"RE2 does not take it: {told}") from None
    least, most = _width(pattern)
    if least < 1:
        raise ValueError("it matches where there is nothing: let it need at least one character")
    if most > MAX_WIDTH:
        told = "no bound" if most > 1 << 30 else f"{most} characters"
        raise ValueError(
            f"a match may have {told}, at most {MAX_WIDTH}: a stream is held back by as much. "
            "Write {1,20} in place of + and {0,20} in place of *"
        )
    return found, most


def any_of(patterns: Sequence[str]) -> Any:
    """One pattern that is found where any of these is; None where there are none.

    Raises:
        ValueError: together they are too large for RE2.
    """
    if not patterns:
        return None
    try:
        return re2.compile("|".join(f"(?:{pattern})" for pattern in patterns), _options())
    except re2.error:
        raise ValueError("all patterns together are too large: leave some out") from None


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.never_capture = True
    options.max_mem = MAX_MEMORY
    return options


def _width(pattern: str) -> tuple[int, int]:
    plain = _CODE.sub("x", _POSIX_CLASS.sub("x", _UNICODE_CLASS.sub(r"\\w", pattern)))
    if "{," in plain:
        raise ValueError("{,n} is read in two ways: write {0,n}")
    without_classes = re.sub(r"\[\^?\]?(?:\\.|[^\]\\])*\]", "x", plain)
    if found := _PLACES.search(re.sub(r"\\[^AbBzZ]", "x", without_classes)):
        raise ValueError(
            f"{found[0]} looks at what stands around a match, which a stream may not have yet: "
            "leave it out, or use whole_words with words"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = re._parser.parse(plain)  # type: ignore[attr-defined]  # noqa: SLF001
            return cast("tuple[int, int]", parsed.getwidth())
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"its width cannot be told: {error}") from None
