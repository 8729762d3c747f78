"""Numbers of persons and companies: identity cards, credit codes, passports, plates, SSN."""

from __future__ import annotations

import re

import re2

from serve.governance.masking import checksums
from serve.governance.masking.detector import Found, PatternDetector, whole
from serve.governance.masking.detectors.forms import (
    ALONE,
    BREAK,
    BREAK_CHARS,
    BREAKS,
    ENDS,
    NO_DIGIT,
    compact,
)

_ANNOUNCED = 24
"""Characters before a number in which a word may announce it."""
_ID_WORDS = re.compile(r"身份证|证件|身份号|\bID\b", re.IGNORECASE)
_PASSPORT_WORDS = re.compile(r"护照|通行证|回乡证|台胞证|passport", re.IGNORECASE)
_CODE = "0-9A-HJ-NPQRTUWXYa-hj-npqrtuwxy"
_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PLATE = "A-HJ-NP-Z"


def _id_card(text: str, match: re.Match[str]) -> Found | None:
    return whole(text, match) if checksums.is_id_card(compact(match[0])) else None


def _old_id_card(text: str, match: re.Match[str]) -> Found | None:
    if not checksums.is_old_id_card(match[0]) or not _is_announced(_ID_WORDS, text, match):
        return None
    return whole(text, match)


def _credit_code(text: str, match: re.Match[str]) -> Found | None:
    return whole(text, match) if checksums.is_credit_code(compact(match[0])) else None


def _passport(text: str, match: re.Match[str]) -> Found | None:
    return whole(text, match) if _is_announced(_PASSPORT_WORDS, text, match) else None


def _is_announced(words: re.Pattern[str], text: str, match: re.Match[str]) -> bool:
    start = match.start()
    return words.search(text[max(0, start - _ANNOUNCED) : start]) is not None


def _plate(text: str, match: re.Match[str]) -> Found | None:
    num_digits = sum(char in "0123456789" for char in match[0])
    return whole(text, match) if num_digits >= 2 else None


def _ssn(text: str, match: re.Match[str]) -> Found | None:
    area, group, serial = match[0].split("-")
    is_given = area not in {"000", "666"} and group != "00" and serial != "0000"
    return whole(text, match) if is_given else None


ID_CARD = PatternDetector(
    name="id_card",
    label="ID_CARD",
    pattern=re.compile(rf"[1-8](?<![0-9].)(?:{BREAK}[0-9]){{16}}{BREAK}[0-9Xx](?![0-9A-Za-z])"),
    tail=re.compile(rf"[1-8](?<![0-9].)[0-9Xx{BREAKS}]*\Z"),
    reach=18 + 17 * BREAK_CHARS + 1,
    check=_id_card,
    gate=re2.compile(rf"[1-8](?:{BREAK}[0-9]){{16}}"),
)
OLD_ID_CARD = PatternDetector(
    name="id_card_15",
    label="ID_CARD",
    pattern=re.compile(rf"[1-8]{ALONE}[0-9]{{14}}(?![0-9A-Za-z])"),
    tail=re.compile(rf"[1-8]{ALONE}[0-9]*\Z"),
    reach=16,
    check=_old_id_card,
    gate=re2.compile(r"[1-8][0-9]{14}"),
)
CREDIT_CODE = PatternDetector(
    name="credit_code",
    label="CREDIT_CODE",
    pattern=re.compile(
        rf"[1-9ANYany]{ALONE}{BREAK}[{_CODE}](?:{BREAK}[0-9]){{6}}(?:{BREAK}[{_CODE}]){{10}}"
        r"(?![0-9A-Za-z])"
    ),
    tail=re.compile(
        rf"[1-9ANYany]{ALONE}[{BREAKS}]*"
        rf"(?:[{_CODE}](?:{BREAK}[0-9]){{0,6}}[{BREAKS}]*"
        rf"|[{_CODE}](?:{BREAK}[0-9]){{6}}[{_CODE}{BREAKS}]*)?\Z"
    ),
    reach=18 + 17 * BREAK_CHARS + 1,
    check=_credit_code,
    gate=re2.compile(rf"[1-9ANYany]{BREAK}[{_CODE}](?:{BREAK}[0-9]){{6}}{BREAK}[{_CODE}]"),
)
PASSPORT = PatternDetector(
    name="passport",
    label="PASSPORT",
    pattern=re.compile(rf"[A-Z]{ALONE}[A-Z]?[0-9]{{6,10}}(?![0-9A-Za-z])"),
    tail=re.compile(rf"[A-Z]{ALONE}[A-Z]?[0-9]*\Z"),
    reach=13,
    check=_passport,
    gate=re2.compile(r"[A-Z][0-9]{6}"),
)
PLATE = PatternDetector(
    name="plate",
    label="PLATE",
    pattern=re.compile(
        rf"[{_PROVINCES}][{_PLATE}][·•・. ]?[{_PLATE}0-9]{{4}}[{_PLATE}0-9挂学警港澳]"
        rf"[{_PLATE}0-9]?(?![0-9A-Za-z])"
    ),
    tail=re.compile(
        rf"[{_PROVINCES}](?:[{_PLATE}][·•・. ]?[{_PLATE}0-9]*[挂学警港澳]?[{_PLATE}0-9]?)?\Z"
    ),
    reach=10,
    check=_plate,
)
SSN = PatternDetector(
    name="us_ssn",
    label="SSN",
    pattern=re.compile(rf"[0-8]{ALONE}{NO_DIGIT}[0-9]{{2}}-[0-9]{{2}}-[0-9]{{4}}{ENDS}"),
    tail=re.compile(rf"[0-8]{ALONE}[0-9.\-]*\Z"),
    reach=13,
    check=_ssn,
    gate=re2.compile(r"[0-9]-[0-9]{2}-[0-9]{4}"),
)
