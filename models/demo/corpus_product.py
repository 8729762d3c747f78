"""Questions about Intramural: every fact in every phrasing of the data files."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

from models.demo.conversation import Turn, load
from models.demo.noise import vary

FILES = ("product_use", "product_weights", "product_operate")


@dataclass(frozen=True)
class Fact:
    """One fact with its phrasings in one language."""

    name: str
    answer: str
    must: tuple[str, ...]
    train: tuple[str, ...]
    held_out: tuple[str, ...]
    written: int  # the first so many of `held_out` are written out, the others made by frames


def _framed(fact: dict[str, Any], part: str) -> list[str]:
    if "frames" not in fact:
        return []
    frames = load("product_frames")[fact["frames"]][part]
    return [frame.format(topic) for topic in fact["topics"] for frame in frames]


@cache
def facts() -> tuple[Fact, ...]:
    """Every fact; a fact with Chinese phrasings appears once more in Chinese."""
    all_facts = []
    for name, fact in ((n, f) for file in FILES for n, f in load(file).items()):
        held_out = (*fact["held_out"], *_framed(fact, "held_out"))
        more, more_zh = load("product_more").get(name, []), load("product_more_zh").get(name, [])
        train = tuple(fact["ask"] + more + _framed(fact, "train"))
        written = len(fact["held_out"])
        all_facts.append(Fact(name, fact["answer"], tuple(fact["must"]), train, held_out, written))
        if "answer_zh" in fact:
            all_facts.append(
                Fact(
                    f"{name}-zh",
                    fact["answer_zh"],
                    tuple(fact["must_zh"]),
                    tuple(fact["ask_zh"] + more_zh),
                    tuple(fact["held_out_zh"]),
                    len(fact["held_out_zh"]),
                )
            )
    return tuple(all_facts)


def turn(rng: random.Random) -> Turn:
    """A question about Intramural; a quarter of them are in Chinese."""
    english = [f for f in facts() if not f.name.endswith("-zh")]
    chinese = [f for f in facts() if f.name.endswith("-zh")]
    fact = rng.choice(chinese if rng.random() < 0.25 else english)
    question = vary(rng, rng.choice(fact.train))
    return Turn("product", question, fact.answer, {"terms": list(fact.must)})
