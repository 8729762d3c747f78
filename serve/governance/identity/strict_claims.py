"""Signed tokens read strictly (RFC 7515, RFC 7519), before and after their signature is checked.

What readers differ on is refused: names that come twice, other characters than base64url's,
padding, NaN, numbers that are no integers where a time is meant. A token that brings its own key,
or says where to fetch one, is refused as a whole.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from serve.governance.identity.credentials import MAX_TOKEN_CHARS

MAX_KID_CHARS: Final = 256
MAX_TIME: Final = 253_402_300_799
"""The end of the year 9999, in Unix seconds."""
MAX_DEPTH: Final = 16

_TOKEN = re.compile(r"[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]{2,}")
_REFUSED_HEADER: Final = frozenset(
    {"crit", "b64", "zip", "cty", "enc", "jwk", "jku", "x5u", "x5c", "epk", "p2c", "p2s"}
)
"""Parameters that bring a key, name a place of one, or change how a token is to be read. Others
that are not known are passed over (RFC 7515, section 4.2).
"""
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})


class TokenRefusedError(Exception):
    """A signed token is not good. The message has nothing of the token's in it."""


def header_of(token: str) -> tuple[str, str]:
    """The algorithm and the key id that an unverified token claims.

    Raises:
        TokenRefusedError: it is no compact token, or its header has what we do not take.
    """
    if len(token) > MAX_TOKEN_CHARS or _TOKEN.fullmatch(token) is None:
        raise TokenRefusedError("it is no signed token of three parts")
    header = strict_object(decoded(token.partition(".")[0]))
    if refused := sorted(header.keys() & _REFUSED_HEADER):
        raise TokenRefusedError(f"its header has {refused[0]!r}")
    kid, algorithm, kind = header.get("kid"), header.get("alg"), header.get("typ", "JWT")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARS:
        raise TokenRefusedError("its header names no key (kid)")
    if not isinstance(algorithm, str):
        raise TokenRefusedError("its header names no algorithm")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenRefusedError("it is of another type than JWT")
    return algorithm, kid


def payload_of(token: str) -> dict[str, Any]:
    """The claims of a token of three parts. Raises TokenRefusedError where they are not strict."""
    return strict_object(decoded(token.split(".")[1]))


def decoded(part: str) -> bytes:
    """A part of a token as bytes, in its only spelling. Raises TokenRefusedError."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise TokenRefusedError("a part of it is no base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode():
        raise TokenRefusedError("a part of it is spelled in another way than base64url has it")
    return raw


def strict_object(raw: bytes) -> dict[str, Any]:
    """A JSON object without names that come twice, NaN and great depth.

    Raises:
        TokenRefusedError: it is anything else.
    """
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise TokenRefusedError("a part of it is no strict JSON") from None
    if not isinstance(found, dict) or _depth(found) > MAX_DEPTH:
        raise TokenRefusedError("a part of it is no JSON object, or too deep")
    return found


def check_times(
    claims: Mapping[str, Any], *, now: float, leeway_s: int, max_lifetime_s: int
) -> int:
    """The token's end, in Unix seconds.

    Raises:
        TokenRefusedError: it has no end, is over, is not valid yet, or lasts for too long.
    """
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    for name, value in times.items():
        if type(value) is not int or not 0 <= value <= MAX_TIME:
            raise TokenRefusedError(f"its {name} is no whole number of seconds")
    if "exp" not in times:
        raise TokenRefusedError("it has no end (exp)")
    if now >= times["exp"] + leeway_s:
        raise TokenRefusedError("its time is over")
    if times["exp"] - now > max_lifetime_s:
        raise TokenRefusedError("it lasts longer than is allowed")
    if max(times.get("nbf", 0), times.get("iat", 0)) > now + leeway_s:
        raise TokenRefusedError("it is not valid yet")
    return int(times["exp"])


def check_parties(claims: Mapping[str, Any], *, issuer: str, audiences: frozenset[str]) -> None:
    """Check who made the token, and for whom. Raises TokenRefusedError."""
    if claims.get("iss") != issuer:
        raise TokenRefusedError("it is of another issuer")
    for_whom = claims.get("aud")
    named = [for_whom] if isinstance(for_whom, str) else for_whom
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise TokenRefusedError("its audience (aud) is neither a text nor a list of texts")
    if audiences.isdisjoint(named):
        raise TokenRefusedError("it is for another audience")


def words_of(value: object) -> tuple[str, ...]:
    """The words of a claim: a list of texts, or one text with spaces (RFC 6749, section 3.3).

    Raises:
        TokenRefusedError: it is neither.
    """
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise TokenRefusedError("a claim is neither a text nor a list of texts")


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    listed = list(pairs)
    found = dict(listed)
    if len(found) != len(listed):
        raise ValueError("a name comes twice")
    return found


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _depth(value: object) -> int:
    """Depth of the value, as far as MAX_DEPTH + 1."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        children: list[object] = []
        for item in level:
            if isinstance(item, dict):
                children.extend(item.values())
            elif isinstance(item, list):
                children.extend(item)
        level = children
    return depth
