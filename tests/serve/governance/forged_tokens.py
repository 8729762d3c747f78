"""Forged tokens: a matrix of what has opened other servers, and of what is near a good token.

The good ones, and the rules by which these are none, are token_makers.py's.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from typing import Any

from serve.governance.identity.credentials import MAX_TOKEN_CHARS
from tests.serve.governance.token_makers import (
    AUDIENCE,
    CLAIMS,
    ISSUER,
    NOW,
    b64,
    public_pem,
    rsa_jwk,
    rsa_key,
    signed,
    token,
)

HEAD = {"alg": "RS256", "kid": "rsa", "typ": "JWT"}


def of_algorithms() -> Iterator[tuple[str, str]]:
    spellings = ("none", "None", "NONE", "nOnE", "none ", " none", "n\u0000one", "", "null", "no")
    for spelled in spellings:
        yield f"alg {spelled!r}", token(header=HEAD | {"alg": spelled}, signature=b"")
        yield f"alg {spelled!r} signed", token(header=HEAD | {"alg": spelled})
    for value in (None, 0, ["RS256"], {"alg": "RS256"}, True):
        yield f"alg {value!r}", token(header=HEAD | {"alg": value})
    for name in ("HS256", "HS384", "HS512", "hs256", "RS1", "RSA", "ES256K", "A128KW", "dir"):
        yield f"alg {name} by the public key", token(algorithm="HS256", header=HEAD | {"alg": name})
    jwk = json.dumps(rsa_jwk()).encode()
    for secret in (public_pem(), public_pem().strip(), jwk, b"", b"rsa", bytes.fromhex("00")):
        header = HEAD | {"alg": "HS256"}
        data = token(header=header, signature=b"").removesuffix(".")
        made = hmac.digest(secret, data.encode(), "sha256")
        yield f"HS256 by {secret[:20]!r}", token(header=header, signature=made)
    yield "RS384, not allowed", token(header=HEAD | {"alg": "RS384"})
    yield "rs256", token(header=HEAD | {"alg": "rs256"})
    yield "PS256 said, RS256 done", token(header=HEAD | {"alg": "PS256"})
    yield "ES256 with the RSA key", token(algorithm="ES256", header=HEAD | {"alg": "ES256"})
    yield "RS256 with the EC key", token(header=HEAD | {"kid": "ec"})
    yield "EdDSA with the EC key", token(algorithm="EdDSA", header={"alg": "EdDSA", "kid": "ec"})


def of_keys() -> Iterator[tuple[str, str]]:
    for kid in (
        "", "other", "RSA", "rsa ", "rsa\u0000", "../rsa", "../../../../dev/null", "/dev/null",
        "rsa' OR '1'='1", "x' UNION SELECT 'key';--", "http://evil.example/jwks", "rsa|id",
        "$(id)", "x" * 300, None, 0, True, ["rsa"], {"kid": "rsa"},
    ):  # fmt: skip
        yield f"kid {str(kid)[:30]!r}", token(header=HEAD | {"kid": kid})
        yield (
            f"kid {str(kid)[:30]!r}, HS256",
            token(algorithm="HS256", header={"alg": "HS256", "kid": kid}),
        )
    yield "no kid", token(header={"alg": "RS256"})
    yield "another's key", token(of="evil")
    yield "another's EC key", token(algorithm="ES256", of="evil")
    yield "another's Ed25519 key", token(algorithm="EdDSA", of="evil")
    own = rsa_jwk(rsa_key("evil"))
    for name, value in {
        "jwk": own,
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/cert.pem",
        "x5c": ["MIIB"],
        "crit": ["exp"],
        "b64": False,
        "zip": "DEF",
        "cty": "JWT",
        "enc": "A128GCM",
        "epk": own,
    }.items():
        yield f"{name} by its own key", token(header=HEAD | {name: value}, of="evil")
        yield f"{name} by our key", token(header=HEAD | {name: value})
    yield "crit empty", token(header=HEAD | {"crit": []})
    yield "crit unknown", token(header=HEAD | {"crit": ["x"], "x": 1})
    yield "typ JWE", token(header=HEAD | {"typ": "JWE"})
    yield "typ 5", token(header=HEAD | {"typ": 5})


def of_claims() -> Iterator[tuple[str, str]]:
    changes: dict[str, dict[str, Any]] = {
        "expired": {"exp": NOW - 30},
        "expired long ago": {"exp": 1},
        "no exp": {"exp": None},
        "exp 0": {"exp": 0},
        "exp below 0": {"exp": -NOW},
        "exp a text": {"exp": str(NOW + 60)},
        "exp a float": {"exp": NOW + 60.5},
        "exp true": {"exp": True},
        "exp a list": {"exp": [NOW + 60]},
        "exp far": {"exp": NOW + 90_000},
        "exp huge": {"exp": 10**30},
        "exp the year 9999": {"exp": 253_402_300_799},
        "nbf ahead": {"nbf": NOW + 31},
        "nbf a text": {"nbf": "0"},
        "nbf a float": {"nbf": 0.5},
        "iat ahead": {"iat": NOW + 31},
        "iat a text": {"iat": "now"},
        "another iss": {"iss": "https://evil.example"},
        "iss with a slash": {"iss": ISSUER + "/"},
        "iss a list": {"iss": [ISSUER]},
        "no iss": {"iss": None},
        "another aud": {"aud": "account"},
        "aud a prefix": {"aud": AUDIENCE[:-1]},
        "aud in a text": {"aud": f"x {AUDIENCE}"},
        "aud empty": {"aud": ""},
        "aud an empty list": {"aud": []},
        "aud a list of lists": {"aud": [[AUDIENCE]]},
        "aud a list with a number": {"aud": [AUDIENCE, 5]},
        "aud an object": {"aud": {AUDIENCE: 1}},
        "no aud": {"aud": None},
        "another tenant": {"tenant": "ward-9"},
        "tenant of another case": {"tenant": "WARD-3"},
        "tenant a list": {"tenant": ["ward-3"]},
        "tenant empty": {"tenant": ""},
        "tenant with a line": {"tenant": "ward-3\n"},
        "no tenant": {"tenant": None},
        "no sub": {"sub": None},
        "sub empty": {"sub": ""},
        "sub a number": {"sub": 5},
        "sub with a space": {"sub": "a b"},
        "sub long": {"sub": "x" * 129},
        "scope a number": {"scope": 5},
        "scope an object": {"scope": {"infer": True}},
    }
    for name, changed in changes.items():
        yield name, token(**changed)


def of_claim_texts() -> Iterator[tuple[str, str]]:
    body = json.dumps(dict(CLAIMS))
    late = body.replace(str(NOW + 300), "NaN")
    for name, text in {
        "exp NaN": late,
        "exp Infinity": body.replace(str(NOW + 300), "Infinity"),
        "exp 1e999": body.replace(str(NOW + 300), "1e999"),
        "exp twice": body[:-1] + f', "exp": {NOW + 300}}}',
        "tenant twice": body[:-1] + ', "tenant": "ward-4"}',
        "iss twice": '{"iss": "x", ' + body[1:],
        "a list": f"[{body}]",
        "a text": '"claims"',
        "null": "null",
        "empty": "",
        "no JSON": body[:-1],
        "two objects": body + body,
        "UTF-16": "\ufeff" + body,
        "deep": body[:-1] + ', "x": ' + "[" * 60 + "]" * 60 + "}",
        "very deep": body[:-1] + ', "x": ' + "[" * 2500 + "]" * 2500 + "}",
    }.items():
        yield f"claims: {name}", token(text)


def of_forms() -> Iterator[tuple[str, str]]:
    good = token()
    head, claims, signature = good.split(".")
    wide = b64(json.dumps(dict(CLAIMS) | {"scope": "admin"}).encode())
    yield "no signature", f"{head}.{claims}."
    yield "two parts", f"{head}.{claims}"
    yield "four parts", f"{good}.{signature}"
    yield "JWE's five parts", f"{good}.{signature}.{signature}"
    yield "other claims", f"{head}.{wide}.{signature}"
    yield "cut", good[:-1]
    yield "cut in half", good[: len(good) // 2]
    yield "one more", good + "A"
    yield "padded", good + "=="
    yield "padded head", f"{head}==.{claims}.{signature}"
    yield "a blank in it", f"{head}. {claims}.{signature}"
    yield "a line in it", f"{head}\n.{claims}.{signature}"
    yield "a comma", f"{good},{good}"
    yield "base64's own letters", f"{head}.{claims}.{signature[:-2]}+/"
    yield "a dot first", f".{good}"
    yield "no head", f".{claims}.{signature}"
    yield "no claims", f"{head}..{signature}"
    yield "huge", token(x="x" * MAX_TOKEN_CHARS)
    yield "a huge head", token(header=HEAD | {"x": "x" * MAX_TOKEN_CHARS})
    yield "a huge signature", f"{head}.{claims}.{'A' * MAX_TOKEN_CHARS}"
    yield "a signature of zeros", token(signature=bytes(256))
    yield "a signature of ones", token(signature=b"\xff" * 256)
    yield "ES256 of zeros", token(algorithm="ES256", signature=bytes(64))
    data = f"{head}.{claims}".encode()
    yield "ES256 in DER", token(algorithm="ES256", signature=b"\x30\x06\x02\x01\x00\x02\x01\x00")
    yield "EdDSA of zeros", token(algorithm="EdDSA", signature=bytes(64))
    yield "another token's signature", f"{head}.{wide}.{b64(signed('RS256', data))}"
    last = signature[-1]
    for other in "ABCDEFGH":
        if other != last:
            yield f"signature ends in {other}", good[:-1] + other
    yield "alg twice", token('{"alg": "none", "kid": "rsa", "alg": "RS256"}')
    for name, text in {
        "alg twice": '{"alg":"none","kid":"rsa","alg":"RS256"}',
        "kid twice": '{"alg":"RS256","kid":"x","kid":"rsa"}',
        "a list": '["RS256"]',
        "null": "null",
        "NaN": '{"alg":"RS256","kid":"rsa","x":NaN}',
        "no JSON": "alg=RS256",
        "a comment": '{"alg":"RS256","kid":"rsa"}//',
    }.items():
        yield f"head: {name}", token(header=text)


PARTS = (of_algorithms, of_keys, of_claims, of_claim_texts, of_forms)
FORGED = {name: text for part in PARTS for name, text in part()}
