"""Signed tokens: the good ones open, and none of the forged does."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from serve.errors import InvalidApiKey, KeyStoreUnavailable
from serve.governance import jwt_tokens
from serve.governance.authenticators import authenticate
from serve.governance.credentials import MAX_TOKEN_CHARS, Credentials
from serve.governance.jwks import PublicKey, public_keys
from serve.governance.jwt_settings import JwtSettings
from serve.governance.jwt_tokens import JwtTokens
from serve.governance.principal import Principal
from tests.serve.governance.token_makers import (
    AUDIENCE,
    CLAIMS,
    ISSUER,
    NOW,
    b64,
    ec_jwk,
    ed_jwk,
    jwks,
    public_pem,
    rsa_jwk,
    rsa_key,
    signed,
    token,
)

ALLOWED = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
SETTINGS = JwtSettings(
    issuer=ISSUER,
    audiences=frozenset({AUDIENCE, "other-api"}),
    algorithms=ALLOWED,
    tenants=frozenset({"ward-3", "ward-4"}),
)


class Set:
    """A source of keys that are given."""

    def __init__(self, raw: bytes) -> None:
        self.keys = public_keys(raw, ALLOWED)
        self.version = 0

    def key(self, kid: str) -> PublicKey | None:
        return self.keys.get(kid)

    async def run(self) -> None: ...


class Clock:
    now = float(NOW)

    def __call__(self) -> float:
        return self.now


def tokens(
    settings: JwtSettings = SETTINGS, raw: bytes | None = None, clock: Any = None
) -> JwtTokens:
    return JwtTokens(settings, Set(raw or jwks()), wall_clock=clock or Clock())


def shown(text: str, by: JwtTokens | None = None) -> Principal:
    return authenticate((by or tokens(),), Credentials(authorization=(f"Bearer {text}",)))


@pytest.mark.parametrize("algorithm", sorted(ALLOWED))
def test_a_token_of_each_algorithm_opens(algorithm: str) -> None:
    principal = shown(token(algorithm=algorithm))
    assert (principal.tenant, principal.owner, principal.scopes) == ("ward-3", "anna", {"infer"})
    assert principal.models is None
    assert principal.key_id.startswith("jwt-")
    assert len(principal.key_id) <= 64


GOOD = {
    "a list of audiences": {"aud": ["x", AUDIENCE]},
    "no nbf and iat": {"nbf": None, "iat": None},
    "within the leeway": {"exp": NOW - 29, "nbf": NOW + 29, "iat": NOW + 30},
    "a list of scopes": {"scope": ["infer"]},
    "claims of others": {"roles": {"a": [1]}, "email": "a@b"},
}


@pytest.mark.parametrize("name", GOOD)
def test_what_a_provider_may_write_otherwise_opens(name: str) -> None:
    assert shown(token(**GOOD[name])).owner == "anna"


@pytest.mark.parametrize("kind", ["at+jwt", "jwt", "application/at+jwt"])
def test_types_and_names_of_keys_are_no_matter(kind: str) -> None:
    assert shown(token(header={"alg": "RS256", "kid": "rsa", "typ": kind, "x5t": "abc", "n": 1}))


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


FORGED = {
    name: text for part in (of_algorithms, of_keys, of_claims, of_forms) for name, text in part()
}


def test_the_matrix_has_more_than_a_hundred() -> None:
    assert len(FORGED) >= 180


def test_no_forged_token_opens(caplog: pytest.LogCaptureFixture) -> None:
    by = tokens()
    let_in = []
    for name, text in FORGED.items():
        for shape in ({"authorization": (f"Bearer {text}",)}, {"api_keys": (text,)}):
            try:
                authenticate((by,), Credentials(**shape))  # type: ignore[arg-type]
            except InvalidApiKey:
                continue
            let_in.append(name)
    assert let_in == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"], "no defects"


def test_refusals_say_nothing_of_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with pytest.raises(InvalidApiKey, match="get another one") as refused:
        shown(token(sub="a secret name", tenant="evil"))
    told = str(refused.value) + caplog.text
    assert "secret name" not in told
    assert "evil" not in told


def test_a_verified_token_is_remembered_and_never_beyond_its_end() -> None:
    clock = Clock()
    by = tokens(clock=clock)
    text = token()
    for _ in range(3):
        shown(text, by)
    assert by.num_checked == 1
    clock.now = NOW + 300.0
    shown(text, by)  # within the leeway: checked anew
    assert by.num_checked == 2
    clock.now = NOW + 330.0
    with pytest.raises(InvalidApiKey):
        shown(text, by)


def test_what_is_remembered_is_the_whole_token() -> None:
    by = tokens()
    first, other = token(), token(sub="berta")
    assert shown(first, by).owner == "anna"
    assert shown(other, by).owner == "berta"
    spliced = first.rpartition(".")[0] + "." + other.rpartition(".")[2]
    with pytest.raises(InvalidApiKey):
        shown(spliced, by)


def test_a_key_that_was_taken_from_the_set_opens_no_more() -> None:
    source = Set(jwks())
    by = JwtTokens(SETTINGS, source, wall_clock=Clock())
    shown(token(), by)
    source.keys, source.version = public_keys(jwks(ec_jwk()), ALLOWED), 1
    with pytest.raises(InvalidApiKey):
        shown(token(), by)
    source.keys, source.version = public_keys(jwks(rsa_jwk(rsa_key("evil"))), ALLOWED), 2
    with pytest.raises(InvalidApiKey):
        shown(token(), by)


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt_tokens, "MAX_CACHED", 2)
    by = tokens()
    for name in ("a", "b", "c"):
        shown(token(algorithm="EdDSA", sub=name), by)
    assert len(by._cache) == 2


def test_keys_that_are_away_are_503_and_not_401() -> None:
    class Away(Set):
        def key(self, kid: str) -> PublicKey | None:
            raise KeyStoreUnavailable("away")

    with pytest.raises(KeyStoreUnavailable):
        shown(token(), JwtTokens(SETTINGS, Away(jwks()), wall_clock=Clock()))


def test_claims_are_mapped_as_the_settings_say() -> None:
    settings = replace(
        SETTINGS,
        tenant="site",
        claims={"tenant": "tenant", "owner": "email", "scopes": "roles", "models": "llm"},
        scopes={"llm-user": frozenset({"infer", "batch"}), "ops": frozenset({"metrics"})},
    )
    text = token(email="a@b", roles=["llm-user", "ops", "admin"], llm=["demo"], tenant=None)
    principal = shown(text, tokens(settings))
    assert (principal.tenant, principal.owner) == ("site", "a@b")
    assert principal.scopes == {"infer", "batch", "metrics"}
    assert principal.models == {"demo"}
    bare = shown(token(email="a@b"), tokens(settings))
    assert (bare.scopes, bare.models) == (frozenset(), frozenset())


def test_any_tenant_is_taken_only_where_that_is_said() -> None:
    assert shown(token(tenant="new"), tokens(replace(SETTINGS, tenants=None))).tenant == "new"


def test_what_is_no_token_is_left_to_others() -> None:
    by = tokens()
    for text in ("sk-a.b.c", "st-a.b.c", "abc", "a.b"):
        assert by.authenticate(Credentials(authorization=(f"Bearer {text}",))) is None
    assert by.authenticate(Credentials()) is None


def test_a_key_serves_the_algorithm_that_it_names_alone() -> None:
    by = tokens(raw=jwks(rsa_jwk(alg="PS256"), ed_jwk()))
    assert shown(token(algorithm="PS256"), by)
    with pytest.raises(InvalidApiKey):
        shown(token(algorithm="RS256"), by)
