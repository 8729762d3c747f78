"""Models by a short name, read from catalog.toml. What exists in the world, not what is here."""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from types import MappingProxyType
from typing import Any

from models.errors import CatalogError, InvalidRefError
from models.refs import ModelRef

_ALIAS = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One row of catalog.toml; its head says what each key means.

    Attributes:
        repo: None for the built-in model.
        gated: None where it is not known for sure.
    """

    alias: str
    licence: str
    architecture: str
    repo: str | None = None
    parameters: int | None = None
    context_length: int | None = None
    gated: bool | None = None
    note: str | None = None
    weights_bytes: int | None = None


_TYPES: Mapping[str, type] = MappingProxyType(
    {
        "alias": str,
        "licence": str,
        "architecture": str,
        "repo": str,
        "parameters": int,
        "context_length": int,
        "gated": bool,
        "note": str,
        "weights_bytes": int,
    }
)
_REQUIRED = ("alias", "licence", "architecture")
_KEYS = tuple(field.name for field in fields(CatalogEntry))


class Catalog(Mapping[str, CatalogEntry]):
    """Entries by alias, in the file's order."""

    def __init__(self, entries: Iterable[CatalogEntry]) -> None:
        self._entries: dict[str, CatalogEntry] = {}
        for entry in entries:
            if entry.alias in self._entries:
                raise CatalogError(f"catalog: the alias {entry.alias!r} stands twice")
            self._entries[entry.alias] = entry
        self._by_repo = {e.repo.lower(): e for e in self._entries.values() if e.repo}

    def __getitem__(self, alias: str) -> CatalogEntry:
        return self._entries[alias]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str) -> CatalogEntry | None:
        """The entry with this alias or this repository, whatever the case; None when none has."""
        lowered = name.lower()
        return self._entries.get(lowered) or self._by_repo.get(lowered)

    def near(self, name: str) -> list[str]:
        """Up to three aliases that look like this name, best first."""
        tail = name.lower().rpartition("/")[2]
        return difflib.get_close_matches(tail, list(self._entries), n=3, cutoff=0.6)


@functools.cache
def load() -> Catalog:
    """The catalog that comes with this package."""
    return parse(resources.files("models").joinpath("catalog.toml").read_text("utf-8"))


def parse(text: str) -> Catalog:
    """A catalog from TOML text.

    Raises:
        CatalogError: broken TOML, an unknown or missing key, a wrong type or a repeated alias.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"catalog: {error}") from None
    rows = document.pop("model", [])
    if document or not isinstance(rows, list):
        raise CatalogError("catalog: holds nothing but [[model]] tables")
    return Catalog(_entry(row) for row in rows)


def _entry(row: Mapping[str, Any]) -> CatalogEntry:
    who = f"catalog: model {row.get('alias', '?')!r}"
    for key, value in row.items():
        if key not in _KEYS:
            raise CatalogError(f"{who}: unknown key {key!r}; known: {', '.join(_KEYS)}")
        if type(value) is not _TYPES[key]:
            raise CatalogError(f"{who}: {key} must be {_TYPES[key].__name__}, not {value!r}")
        if value == "" or (isinstance(value, int) and key != "gated" and value <= 0):
            raise CatalogError(f"{who}: {key} is {value!r}")
    for key in _REQUIRED:
        if key not in row:
            raise CatalogError(f"{who}: {key} is missing")
    if not _ALIAS.fullmatch(row["alias"]):
        raise CatalogError(f"{who}: an alias is of lower-case letters, digits, '.' and '-'")
    if "repo" in row:
        try:
            ModelRef(repo=row["repo"])
        except InvalidRefError as error:
            raise CatalogError(f"{who}: {error}") from None
    return CatalogEntry(**row)
