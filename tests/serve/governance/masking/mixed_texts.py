"""Texts full of data, of what looks like it, and of the characters on which masking turns."""

from __future__ import annotations

import random
from functools import cache

from serve.governance.masking.custom import CustomDetector, compiled
from serve.governance.masking.detector import Detector
from serve.governance.masking.detectors.catalogue import DETECTORS
from serve.governance.masking.replacing import SHAPES
from tests.serve.governance.masking.corpus.negatives import negatives
from tests.serve.governance.masking.corpus.positives import Positive, positives

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


LIKE = {
    "id_card": ("11010519491231002X", "110105 19491231\n002x"),
    "id_card_15": ("身份证110105491231002", "ID: 110105491231002"),
    "credit_code": ("91350100M000100Y43", "9135 0100 M000 100Y 43"),
    "passport": ("护照E12345678", "passport no. EA1234567", "护照EA1234567"),
    "password": (
        "密码abc",
        "password: abc123xy",
        "PASSWORD=x1x1x1)",
        "token is",
        "secret_key: a1b2c3",
    ),
    "phone_abroad": ("+49 (30) 1234567-8", "+14155550123"),
    "password_in_url": ("postgres://app:s3cret@db", "http://u:p1/3@x"),
    "pseudonym": ("<EMAIL_1>", "<A_12>", "<<B_1>"),
    "employee": ("EMP-1234", "EMP12345678", "xEMP123", "EMP-12 EMP123"),
    "greedy": ("<<a>>", "<<a>>b>>cdefgh>>", "====", "=" * 20),
    "last": ("end", "end.", "begin", "the end"),
    "private_key": ("-----BEGIN PRIVATE KEY-----\nQUJDREVGR0hJSktM\n-----END PRIVATE KEY-----",),
    "bearer": ("Bearer abcdefghijklmnop1", "Bearer abc bearer  0123456789abcdef=="),
    "ip_private": ("10.0.0.1", "fe80::1", "192.168.1.1:80", "1.2.3.4.5", "::ffff:10.0.0.1"),
    "ip": ("8.8.8.8", "2001:4860:4860::8888", "v8.8.8.8", "8.8.8.8.8"),
    "us_ssn": ("123-45-6789", "123-45-6789-1", "1-123-45-6789"),
    "landline": ("010-62345678", "(0755)2345-6789", "010-62345678-12"),
}
"""Data for detectors, beside that of the corpus, and what is nearly such."""


ANNOUNCED = ("password", "passport")
"""Data that is found behind a word alone."""


@cache
def _short() -> list[Positive]:
    return [each for each in positives(2000, 7) if len(each.value) < 200]


def texts_for(name: str, count: int) -> list[str]:
    """Short texts that turn on one detector."""
    rng = random.Random(name)
    own = [each for each in _short() if each.kind == name]
    data = [each.before * (name in ANNOUNCED) + each.value for each in own]
    data += LIKE.get(name, ())
    edges = (
        *("", " ", "1", "a", "-", "-1", ".", ".1", "\n", "的", "\u200b", ":", "=", "X", "_"),
        *("@a.cn", "\\"),
    )
    texts = []
    for _ in range(count):
        pieces: list[str] = []
        for _ in range(rng.randrange(1, 4)):
            value = rng.choice(data)
            if rng.random() < 0.3:
                at = rng.randrange(len(value))
                value = value[:at] + rng.choice(edges) + value[at + rng.randrange(2) :]
            pieces += [rng.choice(edges), value, rng.choice(edges)]
        texts.append("".join(pieces))
    return texts


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
