"""Sets of public keys (JWKS; RFC 7517): which of them may verify what, decided before any token.

Keys that cannot be of use here are passed over: for encryption, without an id, of other kinds. A
set with a private or a symmetric key in it is refused whole: it is no set to hand out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_JWKS_BYTES: Final = 256 << 10
MAX_KEYS: Final = 100
RSA_BITS: Final = (2048, 8192)

ALGORITHMS: Final[Mapping[str, tuple[str, str | None]]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""Algorithms that may be allowed, with the kind of key and the curve that each needs (RFC 7518,
RFC 8037). None is symmetric.
"""
_P: Final = (1 << 255) - 19
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _P, _P + 1, _ORDER_8, _P - _ORDER_8})
"""The y of the points of Ed25519 whose order is 1, 2, 4 or 8, in each of their encodings."""
_SECRET_PARTS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("n", "e"),
    "EC": ("crv", "x", "y"),
    "OKP": ("crv", "x"),
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key: its id, the algorithms that it may verify, and its numbers (``kty``, ``n``, ...)."""

    kid: str
    algorithms: frozenset[str]
    numbers: tuple[tuple[str, str], ...]


def public_keys(raw: bytes, allowed: frozenset[str]) -> dict[str, PublicKey]:
    """The keys of a set that may verify tokens, by their ids.

    Args:
        raw: JSON, at most MAX_JWKS_BYTES.
        allowed: algorithms.

    Raises:
        ValueError: it is no such set, or no key of it is of use; with the reason.
    """
    if len(raw) > MAX_JWKS_BYTES:
        raise ValueError(f"it has more than {MAX_JWKS_BYTES} bytes")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("it is no object with a list of keys")
    if len(entries) > MAX_KEYS:
        raise ValueError(f"it has {len(entries)} keys: at most {MAX_KEYS}")
    found: dict[str, PublicKey] = {}
    for entry in entries:
        key = _public_key(entry, allowed)
        if key is not None and key.kid in found:
            raise ValueError("two of its keys have the same id (kid)")
        if key is not None:
            found[key.kid] = key
    if not found:
        raise ValueError("none of its keys has an id (kid) and serves an allowed algorithm")
    return found


def _public_key(entry: Mapping[str, Any], allowed: frozenset[str]) -> PublicKey | None:
    """The key, or None where it is of no use. Raises ValueError for a secret."""
    kind = entry.get("kty")
    if kind == "oct" or not _SECRET_PARTS.isdisjoint(entry):
        raise ValueError("it has a private or a symmetric key: give the public ones alone")
    kid, parts = entry.get("kid"), _PARTS.get(str(kind))
    if not isinstance(kid, str) or not kid or parts is None:
        return None
    if entry.get("use", "sig") != "sig" or "verify" not in _words(entry.get("key_ops", ["verify"])):
        return None
    numbers = {name: entry.get(name) for name in ("kty", *parts)}
    if not all(isinstance(value, str) for value in numbers.values()):
        return None
    if kind == "RSA" and not _is_sound_rsa(entry["n"], entry["e"]):
        return None
    if kind == "OKP" and not _is_sound_ed25519(entry["x"]):
        return None
    algorithms = {
        name
        for name, (wanted, curve) in ALGORITHMS.items()
        if (wanted, curve) == (kind, entry.get("crv") if kind != "RSA" else None)
    }
    algorithms &= allowed
    if "alg" in entry:
        algorithms &= {entry["alg"]} if isinstance(entry["alg"], str) else set()
    if not algorithms:
        return None
    return PublicKey(kid, frozenset(algorithms), tuple((k, str(v)) for k, v in numbers.items()))


def _words(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()


def _is_sound_ed25519(point: str) -> bool:
    """Whether a key is a point that not everybody can sign for.

    For one of small order, such as a placeholder of zeros, a signature that fits is public
    (RFC 8032 leaves it to the verifier; the list is libsodium's).
    """
    try:
        raw = base64.urlsafe_b64decode(point + "=" * (-len(point) % 4))
    except ValueError:
        return False
    y = int.from_bytes(raw, "little") & ((1 << 255) - 1)
    return len(raw) == 32 and y not in _SMALL_ORDER


def _is_sound_rsa(modulus: str, exponent: str) -> bool:
    """Whether a key is neither weak nor slow to verify with."""
    try:
        n, e = (
            int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
            for text in (modulus, exponent)
        )
    except ValueError:
        return False
    return RSA_BITS[0] <= n.bit_length() <= RSA_BITS[1] and e % 2 == 1 and 2 < e < 1 << 32
