"""Texts full of data, of what looks like it, and of the characters on which masking turns."""

from __future__ import annotations

import random

from serve.governance.masking.custom import CustomDetector, compiled
from serve.governance.masking.detector import Detector
from serve.governance.masking.detectors.catalogue import DETECTORS
from serve.governance.masking.replacing import SHAPES
from tests.serve.governance.masking.corpus.negatives import negatives
from tests.serve.governance.masking.corpus.positives import positives

OWN = (
    CustomDetector(
        name="employee", label="EMPLOYEE", regexp=compiled(r"\bEMP-?[0-9]{3,6}\b"), max_chars=10
    ),
    CustomDetector(name="greedy", label="GREEDY", regexp=compiled(r"<<.*>>|=+"), max_chars=12),
    CustomDetector(name="last", label="LAST", regexp=compiled(r"(?:end|^begin)\.?$"), max_chars=9),
)
ALL: tuple[Detector, ...] = (SHAPES, *OWN, *(each for own in DETECTORS.values() for each in own))
BITS = (
    *(
        "1",
        "13",
        "8",
        "86",
        "+86 ",
        "-",
        "--",
        "-----",
        ".",
        ":",
        "::",
        "=",
        "@",
        "a@b",
        ".cn",
        "\n",
    ),
    *(
        "\r\n",
        " ",
        "  ",
        "\t",
        "\u200b",
        "\u00ad",
        "１",
        "３",
        "Ｘ",
        "x",
        "X",
        "E",
        "护照",
        "密码",
        "口",
    ),
    *(
        "pass",
        "password",
        "Bear",
        "Bearer ",
        "sk-",
        "s",
        "eyJ",
        "AKIA",
        "京",
        "A",
        "·",
        "http://u:",
    ),
    *("EMP", "EMP-", "<<", ">>", "<", ">", "<EMAIL_1>", "<EMAIL_", "end", ".", "begin", '"', "\\"),
    *(
        "\\n",
        "\\u0031",
        "\\u",
        "\\ud835\\udfd6",
        "\\ud835",
        '": "',
        "的",
        "BEGIN ",
        "PRIVATE KEY-----",
    ),
    *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "QUJDREVGR0hJSktMTU5P", "GB82"),
)


def mixed_texts(count: int, seed: int = 3) -> list[str]:
    """Texts of up to about 300 characters."""
    rng = random.Random(seed)
    data = [each.text[:400] for each in positives(500, seed)]
    data += [text for _, text in negatives(300, seed)]
    texts = []
    for _ in range(count):
        pieces: list[str] = []
        while sum(map(len, pieces)) < 40 or (len(pieces) < 12 and rng.random() < 0.7):
            piece = rng.choice(data) if rng.random() < 0.35 else rng.choice(BITS)
            if rng.random() < 0.3:
                piece = piece[: rng.randrange(len(piece) + 1)]
            pieces.append(piece)
        texts.append("".join(pieces)[: rng.choice((60, 120, 300))])
    return texts


def chunkings(text: str, rng: random.Random) -> list[str]:
    """A text in pieces."""
    size = rng.choice((1, 2, 4, 9, 30))
    pieces, at = [], 0
    while at < len(text):
        step = rng.randrange(1, 2 * size)
        pieces.append(text[at : at + step])
        at += step
    return pieces
