"""An identity provider of the tests' own: keys made here, tokens signed by hand.

Tokens are put together part by part, as no library would sign most of those that are needed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

NOW = 1_800_000_000
ISSUER = "https://login.example.org/realms/site"
AUDIENCE = "intramural"
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "anna",
    "exp": NOW + 300,
    "nbf": NOW - 10,
    "iat": NOW - 10,
    "tenant": "ward-3",
    "scope": "openid infer",
}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value: int, num_bytes: int | None = None) -> str:
    return b64(value.to_bytes(num_bytes or (value.bit_length() + 7) // 8, "big"))


@functools.cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """A key, the same for each name."""
    return rsa.generate_private_key(65537, 2048)


@functools.cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def ed_key(name: str) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def rsa_jwk(key: rsa.RSAPrivateKey | None = None, **more: Any) -> dict[str, Any]:
    numbers = (key or rsa_key("ours")).public_key().public_numbers()
    return {"kty": "RSA", "kid": "rsa", "n": number(numbers.n), "e": number(numbers.e), **more}


def ec_jwk(**more: Any) -> dict[str, Any]:
    numbers = ec_key("ours").public_key().public_numbers()
    x, y = number(numbers.x, 32), number(numbers.y, 32)
    return {"kty": "EC", "crv": "P-256", "kid": "ec", "x": x, "y": y, **more}


def ed_jwk(**more: Any) -> dict[str, Any]:
    raw = ed_key("ours").public_key().public_bytes_raw()
    return {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64(raw), **more}


def jwks(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys or (rsa_jwk(), ec_jwk(), ed_jwk()))}).encode()


def public_pem() -> bytes:
    return (
        rsa_key("ours")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def signed(algorithm: str, data: bytes, *, of: str = "ours") -> bytes:
    """A signature over the data by the algorithm, with a key of that name."""
    if algorithm.startswith("RS"):
        return rsa_key(of).sign(data, padding.PKCS1v15(), hashes.SHA256())
    if algorithm.startswith("PS"):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        return rsa_key(of).sign(data, pss, hashes.SHA256())
    if algorithm.startswith("ES"):
        r, s = decode_dss_signature(ec_key(of).sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    if algorithm == "EdDSA":
        return ed_key(of).sign(data)
    return hmac.digest(public_pem(), data, hashlib.sha256)


def text_of(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def token(
    claims: object = None,
    *,
    algorithm: str = "RS256",
    header: object = None,
    of: str = "ours",
    signature: bytes | None = None,
    **changed: Any,
) -> str:
    """A token. ``changed`` claims are put over the usual ones; None takes one away.

    Args:
        claims: instead of the usual ones; a text as it stands.
        header: instead of the usual one; a text as it stands.
        signature: instead of the right one.
    """
    kid = {"RS": "rsa", "PS": "rsa", "ES": "ec", "Ed": "ed"}.get(algorithm[:2], "rsa")
    if claims is None:
        merged = {**CLAIMS, **changed}
        claims = {name: value for name, value in merged.items() if value is not None}
    if header is None:
        header = {"alg": algorithm, "kid": kid, "typ": "JWT"}
    data = f"{b64(text_of(header).encode())}.{b64(text_of(claims).encode())}"
    made = signed(algorithm, data.encode(), of=of) if signature is None else signature
    return f"{data}.{b64(made)}"
