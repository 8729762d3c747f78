"""Texts with one piece of personal data each, in many spellings and surroundings."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.serve.governance.masking.corpus import numbers

ZERO_WIDTH = "\u200b\u200c\u200d\ufeff\u00ad\u2060"


@dataclass(frozen=True)
class Positive:
    """A text as three parts, of which the middle one has to go."""

    kind: str
    label: str
    before: str
    value: str
    after: str

    @property
    def text(self) -> str:
        return self.before + self.value + self.after


MAKERS: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "id_card": ("ID_CARD", numbers.id_card),
    "credit_code": ("CREDIT_CODE", numbers.credit_code),
    "mobile_phone": ("PHONE", numbers.mobile),
    "bank_card": ("BANK_CARD", numbers.bank_card),
    "email": ("EMAIL", numbers.email),
    "iban": ("IBAN", numbers.iban),
    "passport": ("PASSPORT", numbers.passport),
    "plate": ("PLATE", numbers.plate),
    "us_ssn": ("SSN", numbers.ssn),
    "landline": ("PHONE", numbers.landline),
    "ip": ("IP", numbers.ip),
    "jwt": ("JWT", numbers.jwt),
    "api_key": ("API_KEY", numbers.api_key),
    "password": ("PASSWORD", numbers.password),
    "private_key": ("PRIVATE_KEY", numbers.private_key),
}
WEIGHTS = [20, 8, 20, 14, 8, 4, 4, 4, 2, 4, 4, 2, 4, 4, 1]
LONG = {"id_card", "mobile_phone", "bank_card"}
ANNOUNCED = {
    "passport": ("护照号码：", "持护照", "passport no. "),
    "password": ("密码：", "password: ", "口令是", "PASSWORD=", "db_password = "),
}


def wide(text: str, _rng: random.Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def zero_width(text: str, rng: random.Random) -> str:
    return (
        "".join(c + (rng.choice(ZERO_WIDTH) if rng.random() < 0.3 else "") for c in text[:-1])
        + text[-1]
    )


def bold(text: str, _rng: random.Random) -> str:
    return "".join(chr(0x1D7CE + int(c)) if c.isdigit() else c for c in text)


def grouped(text: str, rng: random.Random) -> str:
    gap = rng.choice((" ", "-", "\u00a0", "\u3000", "－"))
    sizes = (6, 4, 4, 4) if len(text) == 18 else (3, 4, 4) if len(text) == 11 else (4,) * 5
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return gap.join(filter(None, parts))


def spaced(text: str, _rng: random.Random) -> str:
    return " ".join(text)


def broken(text: str, rng: random.Random) -> str:
    at = rng.randrange(3, len(text) - 3)
    return text[:at] + rng.choice(("\n", "\r\n", "\n  ")) + text[at:]


def prefixed(text: str, rng: random.Random) -> str:
    if len(text) != 11:
        return text
    return rng.choice(("+86", "+86 ", "86-", "0086 ", "(+86)", "+86-")) + text


def plain(text: str, _rng: random.Random) -> str:
    return text


ANY = (plain, plain, plain, wide, zero_width)
OF_LONG = (*ANY, bold, grouped, grouped, spaced, broken, prefixed)
CHINESE = (
    ("请帮我查一下", "的信息"),
    ("客户张三的号码是", "，请尽快联系。"),
    ("昨天收到：", "。谢谢！"),
    ("（", "）已登记"),
    ("", ""),
    ("列表\n", "\n完"),
)
ENGLISH = (("Please look up ", " for me."), ("value: ", ", thanks"), ("<td>", "</td>"), ("(", ")"))


def positive(rng: random.Random) -> Positive:
    kind = rng.choices(list(MAKERS), WEIGHTS)[0]
    label, make = MAKERS[kind]
    value = make(rng)
    if kind in {"private_key", "jwt"}:
        spelt = value
    else:
        spelt = rng.choice(OF_LONG if kind in LONG else ANY)(value, rng)
    before, after = rng.choice(CHINESE if rng.random() < 0.7 else ENGLISH)
    if kind in ANNOUNCED:
        before = before + rng.choice(ANNOUNCED[kind])
    if after.startswith("</") and kind == "password":
        after = " end"
    if rng.random() < 0.2 and spelt.isprintable():
        is_ascii = rng.random() < 0.5

        def inside(text: str) -> str:
            return json.dumps(text, ensure_ascii=is_ascii)[1:-1]

        before, spelt, after = '{"text": "' + inside(before), inside(spelt), inside(after) + '"}'
    return Positive(kind, label, before, spelt, after)


def positives(count: int, seed: int = 1) -> list[Positive]:
    rng = random.Random(seed)
    return [positive(rng) for _ in range(count)]
