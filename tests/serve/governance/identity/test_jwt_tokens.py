"""Signed tokens: the good ones open, and none of the forged does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serve.errors import InvalidApiKey, KeyStoreUnavailable
from serve.governance.identity import jwt_tokens
from serve.governance.identity.authenticators import authenticate
from serve.governance.identity.credentials import Credentials
from serve.governance.identity.jwks import PublicKey, public_keys
from serve.governance.identity.jwt_settings import JwtSettings
from serve.governance.identity.jwt_tokens import JwtTokens
from serve.governance.principal import Principal
from tests.serve.governance.forged_tokens import FORGED
from tests.serve.governance.token_makers import (
    AUDIENCE,
    ISSUER,
    NOW,
    ec_jwk,
    ed_jwk,
    jwks,
    rsa_jwk,
    rsa_key,
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


def test_one_subject_of_two_tenants_is_two_callers() -> None:
    by = tokens()
    ours, theirs = shown(token(), by), shown(token(tenant="ward-4"), by)
    assert ours.owner == theirs.owner
    assert ours.key_id != theirs.key_id, "limits of each key would be shared"


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
