"""The file of --jwt-file: what it says, and that what means nothing is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.identity.jwt_settings import JwtSettings, read_jwt_settings

BASE = """
issuer = "https://login.example.org"
audience = "intramural"
algorithms = ["RS256", "EdDSA"]
"""
FULL = BASE + 'jwks_file = "jwks.json"\ntenants = ["ward-3"]\n'


def read(tmp_path: Path, text: str) -> JwtSettings:
    path = tmp_path / "jwt.toml"
    path.write_text(text)
    return read_jwt_settings(path)


def test_a_short_file_has_careful_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path, FULL)
    assert settings.audiences == {"intramural"}
    assert settings.algorithms == {"RS256", "EdDSA"}
    assert settings.jwks_file == tmp_path / "jwks.json"
    assert (settings.tenants, settings.tenant) == ({"ward-3"}, None)
    assert (settings.leeway_s, settings.max_lifetime_s, settings.max_stale_s) == (30, 86_400, 3600)
    assert settings.claims["owner"] == "sub"
    assert settings.scopes["infer"] == {"infer"}


def test_a_long_file_says_all(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        BASE.replace('"intramural"', '["a", "b"]')
        + """
        jwks_url = "https://login.svc:8443/keys?realm=site"
        ca_file = "/etc/ca.pem"
        tenant = "site"
        leeway_s = 0
        [claims]
        owner = "email"
        models = "llm_models"
        [scopes]
        "llm:ask" = ["infer", "batch"]
        nothing = []
        """,
    )
    assert settings.audiences == {"a", "b"}
    assert settings.jwks_url == "https://login.svc:8443/keys?realm=site"
    assert str(settings.ca_file) == "/etc/ca.pem"
    assert (settings.tenant, settings.tenants) == ("site", frozenset())
    assert settings.claims == {
        "tenant": "tenant", "owner": "email", "scopes": "scope", "models": "llm_models"
    }  # fmt: skip
    assert settings.scopes == {"llm:ask": {"infer", "batch"}, "nothing": frozenset()}


def test_any_tenant_has_to_be_said(tmp_path: Path) -> None:
    assert read(tmp_path, FULL.replace("ward-3", "*")).tenants is None


URL = 'jwks_url = "https://login.svc/keys"\nca_file = "ca.pem"\ntenant = "site"\n'
REFUSED = {
    "no TOML": ("issuer", "is no TOML"),
    "an unknown name": (FULL + "audiences = []", "'audiences' is no setting"),
    "no issuer": (FULL.replace("issuer", "#"), "issuer is missing"),
    "an empty issuer": (FULL.replace("https://login.example.org", ""), "issuer is a text"),
    "no audience": (FULL.replace("audience", "#"), "audience is missing"),
    "no algorithm": (FULL.replace('["RS256", "EdDSA"]', "[]"), "algorithms is missing"),
    "none": (FULL.replace("RS256", "none"), "algorithm 'none' is not taken"),
    "symmetric": (FULL.replace("RS256", "HS256"), "algorithm 'HS256' is not taken"),
    "no keys": (FULL.replace("jwks_file", "#"), "one of jwks_file and jwks_url"),
    "two places of keys": (FULL + 'jwks_url = "https://a"\nca_file = "x"', "one of jwks_file"),
    "no tenant at all": (FULL.replace('"ward-3"', ""), "tenants names none"),
    "a port that is none": (BASE + URL.replace("svc", "svc:99999"), "Port out of range"),
    "port 0": (BASE + URL.replace("svc", "svc:0"), "jwks_url is https"),
    "an end of a file's keys": (FULL + "max_stale_s = 600", "max_stale_s is for jwks_url"),
    "keys that never hold": (BASE + URL + "max_stale_s = 0", "from 60 to"),
    "tokens that never hold": (FULL + "max_lifetime_s = 0", "from 1 to"),
    "no owner's claim": (FULL + '[claims]\nowner = ""', "owner is empty"),
    "no tenant's claim": (FULL + '[claims]\ntenant = ""', "tenant is empty"),
    "a claim for a fixed tenant": (BASE + URL + '[claims]\ntenant = "org"', "the same for all"),
    "a URL without CA": (BASE + URL.replace("ca_file", "#"), "ca_file"),
    "a CA without URL": (FULL + 'ca_file = "ca.pem"', "go together"),
    "plain HTTP": (BASE + URL.replace("https", "http"), "jwks_url is https"),
    "a user in the URL": (BASE + URL.replace("login", "a@login"), "jwks_url is https"),
    "a backslash": (BASE + URL.replace("login.svc", "login\\\\\\\\svc"), "jwks_url is https"),
    "no host": (BASE + URL.replace("login.svc", ""), "jwks_url is https"),
    "no tenant": (FULL.replace("tenants", "#"), "one of tenant"),
    "two tenants": (FULL + 'tenant = "site"', "one of tenant"),
    "a bad tenant": (FULL.replace("ward-3", "ward 3"), "a tenant is 1 to 64"),
    "a large leeway": (FULL + "leeway_s = 301", "0 to 300"),
    "a leeway of a text": (FULL + 'leeway_s = "30"', "whole number"),
    "a leeway that is true": (FULL + "leeway_s = true", "whole number"),
    "an unknown claim": (FULL + '[claims]\nuser = "sub"', r"\[claims\] has no 'user'"),
    "an unknown scope": (FULL + '[scopes]\nx = ["root"]', "no scope is called 'root'"),
    "scopes of no table": (FULL + "scopes = 5", r"\[scopes\] is a table"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_means_nothing_is_refused(tmp_path: Path, name: str) -> None:
    text, says = REFUSED[name]
    with pytest.raises(StartupError, match=says):
        read(tmp_path, text)


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jwt.toml"
    path.write_text(FULL)
    path.chmod(0o666)
    with pytest.raises(StartupError, match="group or others may write it"):
        read_jwt_settings(path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"--jwt-file .* is not there"):
        read_jwt_settings(tmp_path / "jwt.toml")
