"""Words, names, places and numbers to be copied, known ones and invented ones."""

from __future__ import annotations

import random

from models.demo.conversation import load

ONSETS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "z",
    "br",
    "ch",
    "cl",
    "dr",
    "fl",
    "gr",
    "kl",
    "pl",
    "pr",
    "sh",
    "sk",
    "st",
    "th",
    "tr",
]
VOWELS = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ea", "ou"]
CODAS = ["", "n", "r", "s", "l", "t", "m", "k", "", "nd", "rt", "st", "x"]


def invented(rng: random.Random) -> str:
    """A word that no dictionary has, of one to three syllables."""
    parts = rng.choice((1, 2, 2, 3))
    return "".join(
        rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(parts)
    )


def word(rng: random.Random) -> str:
    """A word in lower case; one in four is invented."""
    return invented(rng) if rng.random() < 0.25 else str(rng.choice(load("words")["words"]))


def name(rng: random.Random) -> str:
    """A first name; one in six is invented."""
    if rng.random() < 0.17:
        return invented(rng).capitalize()
    return str(rng.choice(load("words")["names"]))


def city(rng: random.Random) -> str:
    """A city; one in six is invented."""
    if rng.random() < 0.17:
        return invented(rng).capitalize()
    return str(rng.choice(load("words")["cities"]))


def number(rng: random.Random) -> int:
    """A number from 0 to 9999, short ones more often."""
    return rng.randrange(10 ** rng.choice((1, 2, 2, 3, 3, 4)))
