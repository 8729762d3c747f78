"""Ways to reach a person: telephone numbers and e-mail addresses."""

from __future__ import annotations

import re

import re2

from serve.governance.masking.detector import Found, PatternDetector, whole
from serve.governance.masking.detectors.forms import (
    ALONE,
    BREAK,
    BREAKS,
    ENDS,
    NO_DIGIT,
    compact,
    groups,
    is_in_one_piece,
)

_MOBILE_PREFIXES = frozenset(
    [f"13{digit}" for digit in "0123456789"]
    + [f"14{digit}" for digit in "56789"]
    + [f"15{digit}" for digit in "012356789"]
    + [f"16{digit}" for digit in "2567"]
    + [f"17{digit}" for digit in "01235678"]
    + [f"18{digit}" for digit in "0123456789"]
    + [f"19{digit}" for digit in "012356789"]
)
_MOBILE_GROUPS = frozenset({(3, 4, 4), (3, 8), (7, 4), (3, 3, 5), (3, 4, 2, 2), (5, 6)})
_CALLED = r"(?:(?<![0-9A-Za-z].)|(?<=[Tt]el.)|(?<=TEL.)|(?<=phone.))"
_PREFIX = re.compile(r"(?:[+(]{1,2}|00)?(?:86\)?[ \-]{0,2})?")
_IN_TABLE = re.compile(r"\A[0-9][ \t]|[ \t][0-9]\Z")
"""A number that goes on in the next line has no others beside it."""
_AREA = r"(?:10|2[0-9]|[3-9][0-9]{2})"
_LOCAL = "A-Za-z0-9._%+-"


def _mobile(text: str, match: re.Match[str]) -> Found | None:
    number = _PREFIX.sub("", match[0], count=1)
    if compact(number)[:3] not in _MOBILE_PREFIXES:
        return None
    if "\n" in number and _IN_TABLE.search(text[max(0, match.start() - 2) : match.end() + 2]):
        return None
    is_usual = is_in_one_piece(number) or groups(number) in _MOBILE_GROUPS
    return whole(text, match) if is_usual else None


def _abroad(text: str, match: re.Match[str]) -> Found | None:
    num_digits = len(compact(match[0]))
    return whole(text, match) if 10 <= num_digits <= 15 else None


def _email(text: str, match: re.Match[str]) -> Found | None:
    return None if match[0].startswith("git@") else whole(text, match)


MOBILE = PatternDetector(
    name="mobile_phone",
    label="PHONE",
    pattern=re.compile(
        rf"(?:(?:\+(?<![0-9].)86|\((?<![0-9].)\+?86\)|0{ALONE}{NO_DIGIT}086|8{ALONE}{NO_DIGIT}6)"
        rf"[ \-]{{0,2}}1|1{_CALLED}{NO_DIGIT}){BREAK}[3-9](?:{BREAK}[0-9]){{9}}{ENDS}"
    ),
    tail=re.compile(rf"[+(018](?<![0-9].)[+()0-9{BREAKS}]*\Z"),
    reach=110,
    check=_mobile,
    gate=re2.compile(rf"1{BREAK}[3-9](?:{BREAK}[0-9]){{9}}"),
)
LANDLINE = PatternDetector(
    name="landline",
    label="PHONE",
    pattern=re.compile(
        rf"(?:\((?<![0-9].)0{_AREA}\)[ \-]?|0{ALONE}{NO_DIGIT}{_AREA}-)"
        rf"[2-9][0-9]{{2,3}}[ \-]?[0-9]{{4}}(?:-[0-9]{{1,6}})?{ENDS}"
    ),
    tail=re.compile(r"[(0](?<![0-9].)[0-9() .\-]*\Z"),
    reach=32,
    gate=re2.compile(r"0[0-9]{2,3}[)\-]"),
)
ABROAD = PatternDetector(
    name="phone_abroad",
    label="PHONE",
    pattern=re.compile(
        r"\+(?<![0-9A-Za-z+].)(?!86)[1-9][0-9]{0,3}(?:[ ().\-]{0,2}[0-9]){6,13}(?![0-9A-Za-z])"
    ),
    tail=re.compile(r"\+[0-9 ().\-]*\Z"),
    reach=48,
    check=_abroad,
    needs=("+",),
)
EMAIL = PatternDetector(
    name="email",
    label="EMAIL",
    pattern=re.compile(
        rf"[{_LOCAL}](?<![{_LOCAL}].)[{_LOCAL}]{{0,127}}@"
        r"(?:[A-Za-z0-9][A-Za-z0-9\-]{0,61}\.){1,6}[A-Za-z]{2,24}(?![0-9A-Za-z])"
    ),
    tail=re.compile(rf"[{_LOCAL}](?<![{_LOCAL}].)[{_LOCAL}@]*\Z"),
    reach=128 + 1 + 6 * 63 + 24 + 1,
    check=_email,
    spelling="folded",
    needs=("@",),
    has_digit=False,
)
