"""A part of the evidence: its files, and how whole they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["whole", "partly", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part.

    Attributes:
        name: of the part, as the control map calls it.
        state: ``partly`` where something of it was looked for and could not be had, or is bad.
        summary: what it shows, or what is missing and how to have it.
        files: bytes by path within the folder, with slashes.
    """

    name: str
    state: State
    summary: str
    files: Mapping[str, bytes] = field(default_factory=dict)


class Several:
    """A part that is put together of several things: whole where each of them is."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._files: dict[str, bytes] = {}
        self._lines: list[str] = []
        self._is_whole = True

    def add(self, folder: str, files: Mapping[str, bytes], line: str, *, is_whole: bool) -> None:
        """Add one thing: its files, which go below a folder, and a line on it."""
        self._files |= {f"{folder}/{path}": data for path, data in files.items()}
        self._lines.append(line)
        self._is_whole = self._is_whole and is_whole

    def part(self) -> Part:
        """All that was added."""
        return Part(
            name=self._name,
            state="whole" if self._is_whole else "partly",
            summary=" ".join(self._lines),
            files=self._files,
        )


def missing(name: str, summary: str) -> Part:
    """A part that is not there."""
    return Part(name=name, state="missing", summary=summary)


def json_bytes(document: Any) -> bytes:
    """A JSON file for people and programs."""
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
