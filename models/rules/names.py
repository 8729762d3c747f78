"""File names that mean the same file everywhere: on Linux, in a manifest, on another's disk.

A name that one system folds into another's (case, Unicode form), or reads as a path, could stand
for one file when it is checked and for another when it is loaded.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable

MAX_NAME_BYTES = 255
_UNSHOWN = frozenset({"Cc", "Zl", "Zp"})
"""Categories of Unicode: control characters, and separators of lines and of paragraphs."""


def fault(name: str) -> str | None:
    """The fault of a name relative to the model folder, in POSIX form; None where it has none."""
    if not name or "\0" in name:
        return "is empty or holds a NUL"
    if "\\" in name or name.startswith(("/", "~")) or name[1:2] == ":":
        return "is a path that leads elsewhere"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "is a path that leads elsewhere"
    try:
        encoded = [part.encode() for part in parts]
    except UnicodeEncodeError:
        return "is not UTF-8"
    if any(len(part) > MAX_NAME_BYTES for part in encoded):
        return f"has more than {MAX_NAME_BYTES} bytes"
    if not name.isprintable():
        return "holds control or invisible characters"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode's composed form (NFC)"
    return None


def clash(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that differ only in case or in Unicode form; None where there are none."""
    seen: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        if seen.setdefault(folded, name) != name:
            return seen[folded], name
    return None


def is_one_line(text: str) -> bool:
    """Whether a message that shows the text stays on its line: it has no control characters."""
    return not any(unicodedata.category(char) in _UNSHOWN for char in text)


def printable(text: str) -> str:
    """The text on one line, with control and invisible characters written as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def quoted(text: str) -> str:
    """The text as JSON has it, in quotes, on one line of what can be seen."""
    return unhidden(json.dumps(text, ensure_ascii=False))


def unhidden(text: str) -> str:
    """The text with control and invisible characters written as JSON's escapes."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def printable_lines(text: str) -> str:
    """The same, of a message of several lines."""
    return "\n".join(printable(line) for line in text.split("\n"))
