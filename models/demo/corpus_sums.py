"""Sums and differences of numbers below 100, and which pairs are kept for the evaluation."""

from __future__ import annotations

import random
import zlib

from models.demo.conversation import Turn, load
from models.demo.noise import polite

LIMIT = 100
HELD_OUT_SHARE = 16


def is_held_out(a: int, b: int, op: str) -> bool:
    """Whether a pair belongs to the evaluation; `a` and `b` may be given in either order."""
    low, high = min(a, b), max(a, b)
    return zlib.crc32(f"{low}{op}{high}".encode()) % HELD_OUT_SHARE == 0


def result(a: int, b: int, op: str) -> int:
    """The sum or the difference; `op` is "+" or "-"."""
    return a + b if op == "+" else a - b


def phrase(frame: str, a: int, b: int) -> str:
    """Put two numbers into a frame; {a} and {b} stand for them."""
    return frame.format(a=a, b=b)


def make(rng: random.Random, frames: str, held_out: bool) -> Turn:
    """A sum with a phrasing from the named list, on a pair that is or is not held out."""
    op = rng.choice("+-")
    while True:
        a, b = rng.randrange(LIMIT), rng.randrange(LIMIT)
        if is_held_out(a, b, op) == held_out:
            break
    frame = rng.choice(load("sums")["plus" if op == "+" else "minus"][frames])
    value = result(a, b, op)
    answer = f"{a} {op} {b} = {value}."
    return Turn("sums", phrase(frame, a, b), answer, {"number": value})


def turn(rng: random.Random) -> Turn:
    """A sum for the corpus: never on a held-out pair."""
    plain = make(rng, "train", held_out=False)
    return Turn(plain.category, polite(rng, plain.question), plain.answer, plain.expect)
