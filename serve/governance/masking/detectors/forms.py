"""Parts of the detectors' patterns, and the ways in which people write long numbers."""

from __future__ import annotations

import re

ALONE = r"(?<![0-9A-Za-z].)"
"""Behind a pattern's first character: no letter or digit stands before it."""
NO_DIGIT = r"(?<![0-9].)(?<![0-9][.\-].)"
"""The same: no digit does, nor one and a dot or a dash."""
ENDS = r"(?![0-9A-Za-z])(?![.\-][0-9])"
"""Behind a number: it does not go on."""
BREAK = r"(?:[ .\-]|[ \t]{0,2}\r?\n[ \t]{0,4})?"
"""Between two digits of a number: nothing, a space, a dot, a dash, or the end of a line."""
BREAK_CHARS = 8
BREAKS = r" .\-\t\r\n"
"""The characters of a break, for a class."""

_PARTS = re.compile(r"[0-9A-Za-z]+")


def compact(text: str) -> str:
    """The letters and digits alone, in capitals."""
    return "".join(_PARTS.findall(text)).upper()


def groups(text: str) -> tuple[int, ...]:
    """The lengths of the groups in which a number is written."""
    return tuple(map(len, _PARTS.findall(text)))


def is_in_one_piece(text: str) -> bool:
    """Whether it is written without breaks, digit by digit, or broken by the end of one line."""
    parts = groups(text)
    return len(parts) == 1 or set(parts) == {1} or (len(parts) == 2 and "\n" in text)
