"""Accounts: numbers of bank cards and IBAN."""

from __future__ import annotations

import re
from itertools import islice

import re2

from serve.governance.masking import checksums
from serve.governance.masking.detector import Found, PatternDetector
from serve.governance.masking.detectors.forms import (
    ALONE,
    BREAK,
    BREAK_CHARS,
    BREAKS,
    NO_DIGIT,
    compact,
    groups,
    is_in_one_piece,
)

_CARDS = (
    (re.compile(r"62|955[89]|601[34]"), range(16, 20)),  # UnionPay, and older ones of Chinese banks
    (re.compile(r"4|5[1-5]|6011|64[4-9]|65|35(?:2[89]|[3-8])"), range(16, 17)),
    (re.compile(r"222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), range(16, 17)),
    (re.compile(r"3[47]"), range(15, 16)),
)
"""The first digits of issuers, and the lengths of their cards' numbers."""
_GOES_ON = re.compile(r"[0-9A-Za-z]|[.\-][0-9]")
_FIRST_GROUP = re.compile(r"[0-9](?:[0-9]{3}|[0-9]{5}|[0-9]{14,})?(?![0-9])")
_DIGIT = re.compile(r"[0-9]")


def _bank_card(text: str, match: re.Match[str]) -> Found | None:
    if _FIRST_GROUP.match(match[0]) is None and "\n" not in match[0]:
        return None
    number = "".join(_DIGIT.findall(match[0]))
    sizes = next((sizes for first, sizes in _CARDS if first.match(number)), range(0))
    start = match.start()
    for size in reversed(sizes):
        if size > len(number) or not checksums.is_luhn(number[:size]):
            continue
        end = start + _end_of(size, match[0])
        if _GOES_ON.match(text, end) is None and _is_grouped(text[start:end], size):
            return Found(start, end, start, end)
    return None


def _end_of(num_digits: int, written: str) -> int:
    """Characters up to the end of so many digits."""
    digits = islice(_DIGIT.finditer(written), num_digits - 1, None)
    return next(digits).end()


def _is_grouped(written: str, size: int) -> bool:
    parts = groups(written)
    is_in_fours = set(parts[:-1]) == {4} and parts[-1] <= 4
    return is_in_one_piece(written) or is_in_fours or parts in {(6, size - 6), (4, 6, 5)}


def _iban(text: str, match: re.Match[str]) -> Found | None:
    start = match.start()
    left = checksums.IBAN_LENGTHS.get(match[0][:2], 0)
    end = start
    while left and end < match.end():
        left -= text[end] != " "
        end += 1
    is_whole = not left and re.match(r"[0-9A-Za-z]", text[end : end + 1]) is None
    if not is_whole or not checksums.is_iban(compact(text[start:end])):
        return None
    return Found(start, end, start, end)


BANK_CARD = PatternDetector(
    name="bank_card",
    label="BANK_CARD",
    pattern=re.compile(rf"[2-69]{ALONE}{NO_DIGIT}(?:{BREAK}[0-9]){{14,18}}"),
    tail=re.compile(rf"[2-69](?<![0-9].)[0-9{BREAKS}]*\Z"),
    reach=19 + 18 * BREAK_CHARS + 2,
    check=_bank_card,
    gate=re2.compile(rf"[2-69](?:{BREAK}[0-9]){{14}}"),
)
IBAN = PatternDetector(
    name="iban",
    label="IBAN",
    pattern=re.compile(rf"[A-Z]{ALONE}[A-Z][0-9]{{2}}(?: ?[A-Z0-9]){{11,30}}"),
    tail=re.compile(rf"[A-Z]{ALONE}(?:[A-Z](?:[0-9](?:[0-9][A-Z0-9 ]*)?)?)?\Z"),
    reach=66,
    check=_iban,
    gate=re2.compile(r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{3}"),
)
