"""The parts of the corpus: turns, and conversations that are put together of them."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
Message = dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """One question, its right answer, and what a grader must find in an answer."""

    category: str
    question: str
    answer: str
    expect: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Conversation:
    """Messages in the OpenAI form, with the tools that are offered, if any."""

    category: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    expect: dict[str, Any] = field(default_factory=dict)

    def questions(self) -> list[str]:
        """Every user message, in order."""
        return [m["content"] for m in self.messages if m["role"] == "user"]


@cache
def load(name: str) -> dict[str, Any]:
    """Read `data/NAME.toml`; the result is shared, so callers must not change it."""
    return tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))


def normalise(text: str) -> str:
    """Fold case, punctuation and spaces, so that two spellings of a question compare equal."""
    return " ".join(re.findall(r"\w+|[+\-/]", text.lower()))
