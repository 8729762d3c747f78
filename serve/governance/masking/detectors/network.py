"""Addresses of machines: IPv4 and IPv6, those of the world and those of one's own networks."""

from __future__ import annotations

import ipaddress
import re

import re2

from serve.governance.masking.detector import Found, PatternDetector, whole

_VERSION = re.compile(r"(?:[vV]|\b[vV]er(?:sion)?\.?|[a-z]/|版本号?|release) ?[:=]? ?\Z")


def _is_global(match: re.Match[str]) -> bool | None:
    """Whether it is an address of the world; None where it is none at all."""
    try:
        return ipaddress.ip_address(match[0]).is_global
    except ValueError:
        return None


def _public(text: str, match: re.Match[str]) -> Found | None:
    return _address(text, match, is_global=True)


def _private(text: str, match: re.Match[str]) -> Found | None:
    return _address(text, match, is_global=False)


def _address(text: str, match: re.Match[str], *, is_global: bool) -> Found | None:
    if _is_global(match) is not is_global or match[0] == "::":
        return None
    start = match.start()
    is_version = ":" not in match[0] and _VERSION.search(text[max(0, start - 12) : start])
    return None if is_version else whole(text, match)


_PATTERN = re.compile(
    r"[0-9A-Fa-f:](?<![0-9A-Za-z.].)"
    r"(?:[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z])(?!\.[0-9])"
    r"|(?<![0-9A-Fa-f:]:.)(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{2,38}(?:(?:\.[0-9]{1,3}){3})?(?![0-9A-Za-z:])(?!\.[0-9]))"
)
_TAIL = re.compile(r"[0-9A-Fa-f:](?<![0-9A-Za-z.].)[0-9A-Fa-f:.]*\Z")
_GATE = re2.compile(
    r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9A-Fa-f]?:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]"
)
PUBLIC = PatternDetector(
    name="ip",
    label="IP",
    pattern=_PATTERN,
    tail=_TAIL,
    reach=54,
    check=_public,
    gate=_GATE,
    spelling="folded",
    has_digit=False,
)
PRIVATE = PatternDetector(
    name="ip_private",
    label="IP",
    pattern=_PATTERN,
    tail=_TAIL,
    reach=54,
    check=_private,
    gate=_GATE,
    spelling="folded",
    has_digit=False,
)
