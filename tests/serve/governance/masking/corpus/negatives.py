"""Texts without personal data that look as if they had some."""

from __future__ import annotations

import base64
import random
import string
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.serve.governance.masking.corpus.numbers import digits, letters


def moment(rng: random.Random) -> datetime:
    return datetime(2015, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(400_000_000))


def order(rng: random.Random) -> str:
    day = moment(rng).strftime("%Y%m%d")
    number = rng.choice(
        (
            day + digits(rng, 8),
            day + digits(rng, 12),
            f"SO-{day[:4]}-{digits(rng, 6)}",
            day + "-" + digits(rng, 4),
        )
    )
    return rng.choice(("订单号：{}，已发货", "order {} was shipped", "单号{}")).format(number)


def random_18(rng: random.Random) -> str:
    return f"流水号{rng.randrange(10**17, 10**18)}已处理"


def tracking(rng: random.Random) -> str:
    number = rng.choice(("SF", "YT", "JD", "ZTO")) + digits(rng, rng.choice((12, 13)))
    return f"快递单号{number}"


def hashed(rng: random.Random) -> str:
    return f"sha {rng.randbytes(rng.choice((16, 20, 32))).hex()}"


def stamp(rng: random.Random) -> str:
    at = moment(rng)
    forms = (
        at.isoformat(),
        str(int(at.timestamp())),
        str(int(at.timestamp() * 1000)),
        at.strftime("%Y年%m月%d日 %H:%M:%S"),
        at.strftime("%Y%m%d%H%M%S"),
    )
    return f"at {rng.choice(forms)} ok"


def version(rng: random.Random) -> str:
    a, b, c, d = (rng.randrange(40) for _ in range(4))
    return rng.choice(
        (f"v{a}.{b}.{c}", f"版本 {a}.{b}.{c}.{d}", f"pkg=={a}.{b}.{c}", f"node@{a}.{b}.{c}")
    )


def price(rng: random.Random) -> str:
    amount = rng.randrange(10**9) / 100
    return rng.choice((f"共计¥{amount:,.2f}元", f"USD {amount:.2f}", f"{amount:.2f} EUR each"))


def unique(rng: random.Random) -> str:
    return f"id={uuid.UUID(bytes=rng.randbytes(16), version=4)}"


def code(rng: random.Random) -> str:
    name, other = letters(rng, 6), letters(rng, 5)
    lines = (
        f"def {name}({other}: int = {digits(rng, 4)}) -> str: return {other}[:{digits(rng, 2)}]",
        f"password = os.environ['{name.upper()}']",
        f"for (int i = 0; i < {digits(rng, 6)}; ++i) {name}[i] = 0x{digits(rng, 8)};",
        f"SELECT {name} FROM {other} WHERE id = {digits(rng, 7)} LIMIT 10",
        f"token: str = {name}.{other}",
        f"std::{name}::{other}(0x{rng.randbytes(8).hex()})",
        f"@{name}({other})",
        f"max_tokens={digits(rng, 6)}, top_p=0.{digits(rng, 2)}",
    )
    return rng.choice(lines)


def hexadecimal(rng: random.Random) -> str:
    return " ".join(rng.randbytes(2).hex() for _ in range(rng.randrange(4, 20)))


def phone_like(rng: random.Random) -> str:
    number = rng.choice(
        (
            "1" + rng.choice("012") + digits(rng, 9),
            rng.choice("23456789") + digits(rng, 10),
            "1" + digits(rng, 11),
            digits(rng, 10),
            "400-" + digits(rng, 3) + "-" + digits(rng, 4),
            "13" + digits(rng, 7),
        )
    )
    return f"编号{number}"


def encoded(rng: random.Random) -> str:
    return base64.b64encode(rng.randbytes(rng.randrange(20, 200))).decode()


def place(rng: random.Random) -> str:
    return f"lat {rng.uniform(-90, 90):.9f}, lon {rng.uniform(-180, 180):.9f}"


def isbn(rng: random.Random) -> str:
    return f"ISBN 978-{digits(rng, 1)}-{digits(rng, 4)}-{digits(rng, 4)}-{digits(rng, 1)}"


def table(rng: random.Random) -> str:
    return "\n".join(
        "\t".join(str(rng.randrange(10 ** rng.randrange(1, 7))) for _ in range(4)) for _ in range(4)
    )


def part(rng: random.Random) -> str:
    upper = letters(rng, 3, string.ascii_uppercase)
    return (
        f"part {upper}-{digits(rng, 5)}-{letters(rng, 1, string.ascii_uppercase)}{digits(rng, 8)}"
    )


def prose(rng: random.Random) -> str:
    words = (
        "the model answers within 20 ms and keeps 128 requests",
        "今天会议在下午3点30分，共有128人参加，预算为1,200,000元。",
        "secret of the token economy: trust",
        "bearer of good news: the password policy was relaxed",
        "护照办理需要15个工作日，费用120元。",
        "身份证办理指南：请携带户口本，电话预约。",
    )
    return f"{rng.choice(words)} {digits(rng, 3)}"


MAKERS: tuple[Callable[[random.Random], str], ...] = (
    *(order, random_18, tracking, hashed, stamp, version, price, unique, code, hexadecimal),
    *(phone_like, encoded, place, isbn, table, part, prose),
)


def negatives(count: int, seed: int = 2) -> list[tuple[str, str]]:
    """Texts, each with the name of its kind."""
    rng = random.Random(seed)
    chosen = [rng.choice(MAKERS) for _ in range(count)]
    return [(make.__name__, make(rng)) for make in chosen]
