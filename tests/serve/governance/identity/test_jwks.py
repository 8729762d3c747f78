"""Sets of public keys: which of them serve, and which sets are refused whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serve.governance.identity.jwks import ALGORITHMS, MAX_JWKS_BYTES, public_keys
from tests.serve.governance.token_makers import b64, ec_jwk, ed_jwk, jwks, number, rsa_jwk

ALLOWED = frozenset({"RS256", "ES256", "EdDSA"})


def test_no_algorithm_is_symmetric() -> None:
    assert all(kind in {"RSA", "EC", "OKP"} for kind, _ in ALGORITHMS.values())
    assert not any(name.startswith(("HS", "none")) for name in ALGORITHMS)


def test_a_key_serves_what_is_allowed_of_its_kind() -> None:
    found = public_keys(jwks(), ALLOWED)
    assert {kid: key.algorithms for kid, key in found.items()} == {
        "rsa": {"RS256"},
        "ec": {"ES256"},
        "ed": {"EdDSA"},
    }
    assert dict(found["rsa"].numbers).keys() == {"kty", "n", "e"}


@pytest.mark.parametrize(
    "useless",
    [
        ed_jwk(kid="x", x=b64(bytes(32))),  # of small order: a signature for it is public
        ed_jwk(kid="x", x=b64(bytes([1, *bytes(30), 128]))),
        ed_jwk(kid="x", x=b64(bytes([0xEC, *[0xFF] * 30, 0x7F]))),
        ed_jwk(kid="x", x="AA"),
        ed_jwk(kid="x", x="ä"),
        rsa_jwk(kid="x", use="enc"),
        rsa_jwk(kid="x", key_ops=["encrypt"]),
        rsa_jwk(kid="x", alg="RSA-OAEP"),
        rsa_jwk(kid="x", alg="PS256"),
        rsa_jwk(kid="x", alg=5),
        rsa_jwk(kid=None),
        rsa_jwk(kid=""),
        rsa_jwk(kid=5),
        rsa_jwk(kid="x", n=number(2**1023 + 1)),
        rsa_jwk(kid="x", n=number(2**16383 + 1)),
        rsa_jwk(kid="x", e=number(1)),
        rsa_jwk(kid="x", e=number(2**40 + 1)),
        rsa_jwk(kid="x", n="é"),
        rsa_jwk(kid="x", n=5),
        ec_jwk(kid="x", crv="P-384"),
        ec_jwk(kid="x", crv="secp256k1"),
        ed_jwk(kid="x", crv="X25519"),
        {"kty": "XYZ", "kid": "x"},
        {"kid": "x"},
        {},
    ],
)
def test_a_key_that_is_of_no_use_is_passed_over(useless: dict[str, Any]) -> None:
    assert public_keys(jwks(ed_jwk(), useless), ALLOWED).keys() == {"ed"}


REFUSED = {
    "no JSON": (b"{", "no JSON"),
    "a list": (b"[]", "list of keys"),
    "keys of no list": (b'{"keys": {}}', "list of keys"),
    "keys that are texts": (b'{"keys": ["x"]}', "list of keys"),
    "no key of use": (jwks(rsa_jwk(use="enc")), "none of its keys"),
    "no key": (b'{"keys": []}', "none of its keys"),
    "a private key": (jwks(rsa_jwk(d="AQAB")), "private or a symmetric"),
    "a symmetric key": (jwks({"kty": "oct", "k": "AQAB", "kid": "x"}), "private or a symmetric"),
    "an id twice": (jwks(rsa_jwk(), ec_jwk(kid="rsa")), "the same id"),
    "many": (jwks(*(rsa_jwk(kid=str(i)) for i in range(101))), "at most 100"),
    "huge": (b" " * (MAX_JWKS_BYTES + 1), "more than"),
    "deep": (b"[" * 100_000, "no JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_set_is_refused_whole(name: str) -> None:
    raw, says = REFUSED[name]
    with pytest.raises(ValueError, match=says):
        public_keys(raw, ALLOWED)


def test_a_set_may_say_more() -> None:
    document = json.loads(jwks(rsa_jwk(use="sig", key_ops=["verify"], alg="RS256", x5c=["MIIB"])))
    assert public_keys(json.dumps({**document, "more": 1}).encode(), ALLOWED)
