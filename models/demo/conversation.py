"""What the corpus is made of: turns, and the conversations they are put together into."""

from __future__ import annotations

import random
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


def vary(rng: random.Random, question: str) -> str:
    """Spell a question a little differently, as people do; often not at all."""
    if rng.random() < 0.6:
        return question
    prefix = rng.choice(
        [
            "",
            "",
            "",
            "Please answer: ",
            "Hello! ",
            "Hi, ",
            "Hey, ",
            "Question: ",
            "Quick question: ",
            "One question. ",
        ]
    )
    if rng.random() < 0.35:
        question = question.rstrip("?.")
    text = prefix + question
    if rng.random() < 0.25:
        text = text.lower()
    elif rng.random() < 0.15 and not prefix:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.1:
        text = text.rstrip(".") + rng.choice([" Thanks!", " please", " Thank you."])
    return text
