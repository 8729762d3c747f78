"""Checksums of numbers that people and companies have, in digits and capital letters."""

from __future__ import annotations

from datetime import date

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_CODE_CHARS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CODE_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_ORGANISATION_CHARS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

PROVINCES = frozenset(
    f"{region}{province}"
    for region, provinces in {
        1: "12345",
        2: "123",
        3: "1234567",
        4: "123456",
        5: "01234",
        6: "12345",
        7: "1",
        8: "123",
    }.items()
    for province in provinces
)
"""The first two digits of an identity number: a province, or Hong Kong, Macau and Taiwan."""

_REGISTERED = frozenset(
    f"{department}{kind}"
    for department, kinds in {
        "1": "1239",
        "2": "19",
        "3": "123459",
        "4": "19",
        "5": "1239",
        "6": "129",
        "7": "129",
        "8": "19",
        "9": "123",
        "A": "19",
        "N": "1239",
        "Y": "1",
    }.items()
    for kind in kinds
)
"""The first two characters of a credit code: by whom something is registered, and as what."""

IBAN_LENGTHS = {
    "AD": 24,
    "AE": 23,
    "AL": 28,
    "AT": 20,
    "AZ": 28,
    "BA": 20,
    "BE": 16,
    "BG": 22,
    "BH": 22,
    "BR": 29,
    "BY": 28,
    "CH": 21,
    "CR": 22,
    "CY": 28,
    "CZ": 24,
    "DE": 22,
    "DK": 18,
    "DO": 28,
    "EE": 20,
    "EG": 29,
    "ES": 24,
    "FI": 18,
    "FO": 18,
    "FR": 27,
    "GB": 22,
    "GE": 22,
    "GI": 23,
    "GL": 18,
    "GR": 27,
    "GT": 28,
    "HR": 21,
    "HU": 28,
    "IE": 22,
    "IL": 23,
    "IQ": 23,
    "IS": 26,
    "IT": 27,
    "JO": 30,
    "KW": 30,
    "KZ": 20,
    "LB": 28,
    "LC": 32,
    "LI": 21,
    "LT": 20,
    "LU": 20,
    "LV": 21,
    "LY": 25,
    "MC": 27,
    "MD": 24,
    "ME": 22,
    "MK": 19,
    "MR": 27,
    "MT": 31,
    "MU": 30,
    "NL": 18,
    "NO": 15,
    "PK": 24,
    "PL": 28,
    "PS": 29,
    "PT": 25,
    "QA": 29,
    "RO": 24,
    "RS": 22,
    "SA": 24,
    "SC": 31,
    "SE": 24,
    "SI": 19,
    "SK": 24,
    "SM": 27,
    "ST": 25,
    "SV": 28,
    "TL": 23,
    "TN": 24,
    "TR": 26,
    "UA": 29,
    "VA": 22,
    "VG": 24,
    "XK": 20,
}


def is_date(year: str, month: str, day: str) -> bool:
    """Whether there was such a day, from 1900 to 2099."""
    try:
        return 1900 <= date(int(year), int(month), int(day)).year < 2100
    except ValueError:
        return False


def is_id_card(number: str) -> bool:
    """Whether 18 characters are a Chinese identity number (GB 11643-1999)."""
    if number[:2] not in PROVINCES or not is_date(number[6:10], number[10:12], number[12:14]):
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, number[:17], strict=True))
    return number[17] == _ID_CHECKS[total % 11]


def is_old_id_card(number: str) -> bool:
    """Whether 15 digits may be an identity number as there were until 1999; it has no checksum."""
    return number[:2] in PROVINCES and is_date("19" + number[6:8], number[8:10], number[10:12])


def is_credit_code(code: str) -> bool:
    """Whether 18 characters are a unified social credit code (GB 32100-2015).

    One of digits alone must also have the inner check digit of GB 11714, or one of 31 numbers would
    do.
    """
    if code[:2] not in _REGISTERED or code[2:4] not in PROVINCES | {"10"}:
        return False
    try:
        values = [_CODE_CHARS.index(char) for char in code]
    except ValueError:
        return False
    total = sum(weight * value for weight, value in zip(_CODE_WEIGHTS, values[:17], strict=True))
    if values[17] != (31 - total % 31) % 31:
        return False
    return not code.isdigit() or _is_organisation_code(code[8:17])


def _is_organisation_code(code: str) -> bool:
    total = sum(
        weight * _ORGANISATION_CHARS.index(char)
        for weight, char in zip(_ORGANISATION_WEIGHTS, code[:8], strict=True)
    )
    return code[8] == "0123456789X0"[11 - total % 11]


def is_luhn(number: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def is_iban(number: str) -> bool:
    """Whether it has its country's length and the check digits of ISO 13616."""
    if IBAN_LENGTHS.get(number[:2]) != len(number):
        return False
    digits = "".join(str(int(char, 36)) for char in number[4:] + number[:4])
    return int(digits) % 97 == 1
