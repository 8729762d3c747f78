"""Ways in which people vary a question: politeness, slips, other words, words too many or too few.

A small network that sees each phrasing in one spelling only learns the spelling. The variations
teach it to pass over what does not matter. They never turn a question into one that the
evaluation asks: `held_out()` lists those, and `vary` falls back to the plain question.
"""

from __future__ import annotations

import random
import re
from functools import cache

from models.demo.conversation import load, normalise
from models.demo.corpus_words import invented

HAN = re.compile(r"[\u4e00-\u9fff]")


@cache
def held_out() -> frozenset[str]:
    """Held-out questions without numbers or names in them, normalised."""
    questions = set()
    for table in load("smalltalk").values():
        questions.update(table["held_out"])
    for table in load("plain").values():
        questions.update(f.format(key) for f in table["held_out"] for key in table["pairs"])
    frames = load("product_frames")
    for file in ("product_use", "product_weights", "product_operate"):
        for fact in load(file).values():
            questions.update(fact["held_out"] + fact.get("held_out_zh", []))
            if "frames" in fact:
                templates = frames[fact["frames"]]["held_out"]
                questions.update(f.format(topic) for f in templates for topic in fact["topics"])
    return frozenset(map(normalise, questions))


def _around(rng: random.Random, text: str) -> str:
    """Put something polite or idle before or after."""
    zh = "_zh" if HAN.search(text) else ""
    if rng.random() < 0.6:
        text = rng.choice(load("noise")[f"prefixes{zh}"]) + text
    if rng.random() < 0.35:
        text = text.rstrip("." if rng.random() < 0.5 else "?.") + rng.choice(
            load("noise")[f"suffixes{zh}"]
        )
    return text


def _synonym(rng: random.Random, text: str) -> str:
    """Say one word otherwise."""
    groups = [g for g in load("noise")["synonyms"] if any(_at(word, text) for word in g)]
    if not groups:
        return text
    group = rng.choice(groups)
    word = rng.choice([w for w in group if _at(w, text)])
    return re.sub(
        rf"(?<!\w){re.escape(word)}(?!\w)", lambda _: str(rng.choice(group)), text, count=1
    )


def _at(word: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def _words(rng: random.Random, text: str) -> str:
    """Add, drop or swap single words; for Chinese, characters."""
    parts = list(text) if HAN.search(text) else text.split(" ")
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(parts))
        kind = rng.random()
        if kind < 0.6:
            filler = rng.choice(load("noise")["fillers"]) if rng.random() < 0.75 else invented(rng)
            parts.insert(
                at, filler if not HAN.search(text) else rng.choice("的了吗请我你是想要这个在能用")
            )
        elif kind < 0.8 and len(parts) > 3:
            parts.pop(at)
        elif len(parts) > 2:
            other = rng.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
    return ("" if HAN.search(text) else " ").join(parts)


@cache
def _idle() -> frozenset[str]:
    telling = {"leave", "run", "list", "set", "show", "order", "short", "user", "call", "supported"}
    return frozenset(load("noise")["fillers"]) - telling


def _keywords(rng: random.Random, text: str) -> str:
    """The words that matter, in any order, among words that do not."""
    if HAN.search(text):
        return text
    parts = [w for w in text.rstrip("?.").split(" ") if w.lower().strip("?.,:;") not in _idle()]
    if not parts:
        return text
    if rng.random() < 0.5:
        rng.shuffle(parts)
    if len(parts) > 3 and rng.random() < 0.3:
        parts.pop(rng.randrange(len(parts)))
    for _ in range(rng.randint(1, 5)):
        parts.insert(rng.randint(0, len(parts)), str(rng.choice(load("noise")["fillers"])))
    return " ".join(parts) + rng.choice(["?", "?", ".", ""])


def _slip(rng: random.Random, text: str) -> str:
    """Swap two neighbouring letters, or leave one out."""
    at = rng.randrange(max(1, len(text) - 1))
    pair = text[at : at + 2]
    if not pair.isascii() or not pair.isalpha():
        return text
    return text[:at] + (pair[::-1] if rng.random() < 0.5 else pair[0]) + text[at + 2 :]


def vary(rng: random.Random, question: str, strength: float = 1.0) -> str:
    """Spell a question a little differently, as people do; half of the time not at all."""
    if rng.random() > 0.6 * strength:
        return question
    text = question
    if rng.random() < 0.5:
        text = _synonym(rng, text)
    if rng.random() < 0.3:
        text = _keywords(rng, text)
    elif rng.random() < 0.4:
        text = _words(rng, text)
    if rng.random() < 0.4:
        text = _around(rng, text)
    if rng.random() < 0.1:
        text = _slip(rng, text)
    if rng.random() < 0.3:
        text = text.rstrip("?.。")
    if rng.random() < 0.2:
        text = text.lower()
    return question if not text.strip() or normalise(text) in held_out() else text


def polite(rng: random.Random, question: str) -> str:
    """Vary only around a question whose words are to be copied."""
    return _around(rng, question) if rng.random() < 0.15 else question
