"""Findings: the results of checks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "skipped", "warning", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check, and what follows from it.

    Attributes:
        level: ``failure`` keeps the server from working or makes it unsafe; ``warning`` may.
        summary: what was seen, with the figures.
        advice: what to do; empty where nothing is to be done.
    """

    level: Level
    summary: str
    advice: str = ""

    def as_json(self, check: str) -> dict[str, str]:
        """One object of `doctor --json`; ``check`` is the name of the check."""
        return {"check": check, **asdict(self)}


def ok(summary: str) -> Finding:
    return Finding(level="ok", summary=summary)


def skipped(summary: str) -> Finding:
    return Finding(level="skipped", summary=summary)


def warning(summary: str, advice: str) -> Finding:
    return Finding(level="warning", summary=summary, advice=advice)


def failure(summary: str, advice: str) -> Finding:
    return Finding(level="failure", summary=summary, advice=advice)
