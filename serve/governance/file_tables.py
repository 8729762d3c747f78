"""Tables of a TOML file with lists, truths and fractions among their fields (see Fields)."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from models import plain_file
from serve.errors import StartupError
from serve.governance.limits.fields import Fields
from serve.suggestion import near

MAX_FILE_BYTES = 8 << 20


class Table(Fields):
    """One table of the file. Raises StartupError as Fields does."""

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str | None:
        """One of some words; None where it is not given."""
        value = self.text(name)
        if value is not None and value not in allowed:
            self.refuse(f"{name} is {value!r}: one of {', '.join(allowed)}.{near(value, allowed)}")
        return value

    def line(self, name: str, most_chars: int) -> str | None:
        """A text, perhaps a long one; None where it is not given."""
        value = self._table.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            self.refuse(f"{name} is {value!r}: a string is needed")
        if value is not None and len(value) > most_chars:
            self.refuse(f"{name} has {len(value)} characters: at most {most_chars}")
        return value

    def texts(self, name: str, most: int, most_chars: int) -> tuple[str, ...]:
        """A list of texts, none of them empty; none where it is not given."""
        values = self._table.get(name, [])
        if not isinstance(values, list):
            self.refuse(f"{name} is {values!r}: a list of strings is needed")
        if len(values) > most:
            self.refuse(f"{name} has {len(values)} entries: at most {most}")
        for number, value in enumerate(values, start=1):
            if not isinstance(value, str) or not value.strip():
                self.refuse(f"{name}, no. {number}, is {value!r}: a string that says something")
            if len(value) > most_chars:
                self.refuse(
                    f"{name}, no. {number}, has {len(value)} characters: at most {most_chars}"
                )
        return tuple(values)

    def flag(self, name: str) -> bool | None:
        """A truth; None where it is not given."""
        value = self._table.get(name)
        if value is not None and not isinstance(value, bool):
            self.refuse(f"{name} is {value!r}: true or false is needed")
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number from ``least`` to ``most``; None where it is not given."""
        value = self._table.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(f"{name} is {value!r}: a number is needed")
        if not least <= value <= most:
            self.refuse(f"{name} is {value}: at least {least:g} and at most {most:g}")
        return float(value)

    def inner(self, name: str) -> Mapping[str, Any]:
        """A table of tables by their names; none where it is not given."""
        value = self._table.get(name, {})
        if not isinstance(value, Mapping):
            self.refuse(f"{name} is not a table of tables")
        return cast("Mapping[str, Any]", value)


def digest_of(document: Mapping[str, Any]) -> str:
    """A digest of a file's content, in hexadecimal: the same however it is laid out."""
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_document(path: Path, kind: str, max_bytes: int = MAX_FILE_BYTES) -> dict[str, Any]:
    """A TOML file's content.

    Args:
        kind: what the file is, for errors: ``Presets file``.

    Raises:
        StartupError: it is not there, cannot be read, or is no TOML.
    """
    text = read_text(path, kind, max_bytes)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise StartupError(f"{kind} {path}: it is no TOML: {error}") from None


def read_text(path: Path, kind: str, max_bytes: int) -> str:
    """A file's text. Raises StartupError as ``read_document`` does, with the same words."""
    try:
        return plain_file.read_text(path, max_bytes, may_be_link=True)
    except FileNotFoundError:
        raise StartupError(f"{kind} {path} is not there.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StartupError(f"{kind} {path} cannot be used: {reason}") from None
