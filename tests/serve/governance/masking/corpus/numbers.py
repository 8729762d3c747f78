"""Numbers that could be somebody's, with check digits by this file's own arithmetic."""

from __future__ import annotations

import base64
import json
import random
import string
from datetime import date, timedelta

REGIONS = [
    "110101",
    "110108",
    "120102",
    "130102",
    "140105",
    "150102",
    "210102",
    "220102",
    "230103",
    "310104",
    "310115",
    "320102",
    "320505",
    "330106",
    "340102",
    "350102",
    "360102",
    "370102",
    "410102",
    "420106",
    "430102",
    "440106",
    "440305",
    "450102",
    "460105",
    "500103",
    "510104",
    "520102",
    "530102",
    "540102",
    "610103",
    "620102",
    "630102",
    "640104",
    "650102",
    "710000",
    "810000",
    "820000",
]
CARD_BINS = [
    "622202",
    "621226",
    "622700",
    "621700",
    "622848",
    "621660",
    "622262",
    "622580",
    "622588",
    "622622",
    "622521",
    "622690",
    "622655",
    "622908",
    "622188",
    "621799",
    "620058",
    "623052",
]
IBANS = {"DE": (8, 10), "FR": (10, 13), "GB": (0, 14), "NL": (0, 10), "CH": (5, 12), "ES": (8, 12)}


def digits(rng: random.Random, size: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(size))


def letters(rng: random.Random, size: int, of: str = string.ascii_lowercase) -> str:
    return "".join(rng.choice(of) for _ in range(size))


def id_card(rng: random.Random) -> str:
    """GB 11643: the weights are powers of 2 modulo 11; the whole comes to 1 modulo 11."""
    born = date(1930, 1, 1) + timedelta(days=rng.randrange(34_000))
    body = rng.choice(REGIONS) + born.strftime("%Y%m%d") + digits(rng, 3)
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(body))
    check = (1 - total) % 11
    last = "X" if check == 10 else str(check)
    return body + (last.lower() if rng.random() < 0.3 else last)


def credit_code(rng: random.Random) -> str:
    """GB 32100: the weights are powers of 3 modulo 31; the check digit makes it 0 modulo 31."""
    alphabet = "".join(
        char for char in string.digits + string.ascii_uppercase if char not in "IOSVZ"
    )
    body = rng.choice(("91", "91", "92", "93", "12", "51", "52")) + rng.choice(REGIONS)
    body += "MA" + letters(rng, 6, alphabet) if rng.random() < 0.7 else digits(rng, 8)
    if body[8:].isdigit():
        weighed = sum(w * int(d) for w, d in zip((3, 7, 9, 10, 5, 8, 4, 2), body[8:], strict=True))
        check = 11 - weighed % 11
        body += {10: "X", 11: "0"}.get(check, str(check))
    else:
        body += rng.choice(alphabet)
    total = sum(alphabet.index(char) * pow(3, place, 31) for place, char in enumerate(body))
    return body + alphabet[-total % 31]


def mobile(rng: random.Random) -> str:
    return rng.choice(("135", "138", "139", "150", "159", "177", "186", "188", "198")) + digits(
        rng, 8
    )


def bank_card(rng: random.Random) -> str:
    body = rng.choice(CARD_BINS) + digits(rng, rng.choice((9, 12)))
    if rng.random() < 0.2:
        body = rng.choice("45") + rng.choice("12345") + digits(rng, 13)
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += value // 10 + value % 10
    return body + str(-total % 10)


def iban(rng: random.Random) -> str:
    country = rng.choice(sorted(IBANS))
    bank, account = IBANS[country]
    body = digits(rng, bank + account)
    if country in ("GB", "NL"):
        body = letters(rng, 4, string.ascii_uppercase) + body
    numeric = "".join(str(int(char, 36)) for char in f"{body}{country}00")
    return f"{country}{98 - int(numeric) % 97:02d}{body}"


def email(rng: random.Random) -> str:
    user = (
        letters(rng, rng.randrange(2, 12)) + rng.choice(("", ".", "_", "-", "+")) + digits(rng, 3)
    )
    domain = rng.choice(
        ("qq.com", "163.com", "example.com", "mail.example.co.uk", "pku.edu.cn", "firma.de")
    )
    return f"{user}@{domain}"


def passport(rng: random.Random) -> str:
    return rng.choice(
        ("E" + digits(rng, 8), "G" + digits(rng, 8), "E" + rng.choice("ABCDE") + digits(rng, 7))
    )


def plate(rng: random.Random) -> str:
    letter = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    tail = rng.choice(("D", "F", "")) + digits(rng, 5)
    return rng.choice("京沪粤苏浙川鲁") + rng.choice(letter) + rng.choice(("", "·")) + tail


def ssn(rng: random.Random) -> str:
    return f"{rng.randrange(1, 665):03d}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 9999):04d}"


def landline(rng: random.Random) -> str:
    area = rng.choice(("010", "021", "0755", "0571", "028"))
    return f"{area}-{rng.randrange(2, 9)}{digits(rng, 7)}"


def ip(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return "2400:" + ":".join(f"{rng.randrange(1, 65536):x}" for _ in range(7))
    return ".".join(str(rng.randrange(1, 254)) for _ in range(4)).replace("10.", "11.", 1)


def jwt(rng: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    name = letters(rng, 8)
    signature = base64.urlsafe_b64encode(rng.randbytes(32)).decode().rstrip("=")
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': name, 'iat': 1})}.{signature}"


def api_key(rng: random.Random) -> str:
    mixed = string.ascii_letters + string.digits
    return rng.choice(
        (
            f"sk-{letters(rng, 12, mixed)}1.{letters(rng, 43, mixed)}",
            f"AKIA{letters(rng, 15, string.ascii_uppercase)}7",
            f"ghp_{letters(rng, 35, mixed)}5",
            f"xoxb-{digits(rng, 12)}-{letters(rng, 24, mixed)}",
            f"sk-proj-{letters(rng, 40, mixed)}9",
        )
    )


def password(rng: random.Random) -> str:
    return letters(rng, 5) + rng.choice("!#%*_") + digits(rng, 4)


def private_key(rng: random.Random) -> str:
    body = base64.b64encode(rng.randbytes(300)).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    kind = rng.choice(("RSA ", "EC ", "", "OPENSSH "))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"
