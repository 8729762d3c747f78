"""The result of one check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "skipped", "warning", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check saw.

    Attributes:
        level: ``failure`` keeps the server from working or makes it unsafe; ``warning`` may.
        told: what was seen, with the figures.
        advice: what to do; empty where nothing is to be done.
    """

    level: Level
    told: str
    advice: str = ""

    def as_json(self, check: str) -> dict[str, str]:
        return {"check": check, **asdict(self)}


def ok(told: str) -> Finding:
    return Finding(level="ok", told=told)


def skipped(told: str) -> Finding:
    return Finding(level="skipped", told=told)


def warning(told: str, advice: str) -> Finding:
    return Finding(level="warning", told=told, advice=advice)


def failure(told: str, advice: str) -> Finding:
    return Finding(level="failure", told=told, advice=advice)
