"""The file of ``--jwt-file``: whose signed tokens are taken, and what their claims mean here.

TOML::

    issuer = "https://login.example.org/realms/site"
    audience = "intramural"                  # or a list
    algorithms = ["RS256", "ES256"]          # of jwks.ALGORITHMS: none is symmetric
    jwks_file = "jwks.json"                  # or jwks_url and ca_file
    tenants = ["ward-3", "ward-4"]           # values of tenant_claim that are taken; ["*"] is any

    [claims]
    tenant = "tenant"
    owner = "sub"
    scopes = "scope"
    models = ""                              # empty: all models

    [scopes]                                 # a value of the claim, and what it allows here
    "llm:ask" = ["infer"]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from serve.errors import StartupError
from serve.governance.file_tables import read_document
from serve.governance.identity.jwks import ALGORITHMS
from serve.governance.identity.key_entry import checked_scopes, checked_tenant
from serve.governance.identity.private_file import check_not_writable
from serve.governance.principal import ALL_SCOPES, Scope

MAX_FILE_BYTES: Final = 64 << 10
ANY_TENANT: Final = "*"
MAX_LEEWAY_S: Final = 300
MIN_STALE_S: Final = 60
_CLAIMS: Final = {"tenant": "tenant", "owner": "sub", "scopes": "scope", "models": ""}
_NAMES: Final = frozenset(
    [
        *("issuer", "audience", "algorithms", "jwks_file", "jwks_url", "ca_file", "leeway_s"),
        *("max_lifetime_s", "max_stale_s", "tenant", "tenants", "claims", "scopes"),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtSettings:
    """Rules for the tokens of one identity provider.

    Attributes:
        jwks_file: set of public keys; or else ``jwks_url``, whose certificate ``ca_file`` signed.
        leeway_s: by which clocks may differ.
        max_lifetime_s: longest time to a token's end.
        max_stale_s: how long keys of a URL hold after the last time that they were read.
        tenant: the same for all; None takes it from the claim.
        tenants: values that the claim may have; None is any.
        claims: our name for a claim, and theirs; empty where it is not read.
        scopes: what each value of the scopes' claim allows.
    """

    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    jwks_file: Path | None = None
    jwks_url: str | None = None
    ca_file: Path | None = None
    leeway_s: int = 30
    max_lifetime_s: int = 86_400
    max_stale_s: int = 3600
    tenant: str | None = None
    tenants: frozenset[str] | None = frozenset()
    claims: Mapping[str, str] = field(default_factory=lambda: dict(_CLAIMS))
    scopes: Mapping[str, frozenset[Scope]] = field(
        default_factory=lambda: {str(scope): frozenset({scope}) for scope in ALL_SCOPES}
    )


def read_jwt_settings(path: Path) -> JwtSettings:
    """The settings in a file; paths in it are relative to its folder.

    Raises:
        StartupError: the file cannot be used, or says what means nothing.
    """
    document = read_document(path, "--jwt-file", MAX_FILE_BYTES)
    try:
        check_not_writable(path)
        return _settings(document, path.parent)
    except ValueError as error:
        raise StartupError(f"--jwt-file {path}: {error}.") from None


def _settings(document: Mapping[str, Any], folder: Path) -> JwtSettings:
    if unknown := sorted(document.keys() - _NAMES):
        raise ValueError(f"{unknown[0]!r} is no setting; there are {', '.join(sorted(_NAMES))}")
    jwks_file, jwks_url = _text(document, "jwks_file", ""), _text(document, "jwks_url", "")
    ca_file = _text(document, "ca_file", "")
    if bool(jwks_file) == bool(jwks_url):
        raise ValueError("one of jwks_file and jwks_url is needed")
    if bool(jwks_url) != bool(ca_file):
        raise ValueError(
            "jwks_url and ca_file, the certificates that its server's is signed by, go together"
        )
    fixed = _text(document, "tenant", "")
    if bool(fixed) == ("tenants" in document):
        raise ValueError(
            "one of tenant, the same for all, and tenants, the values that the claim may have, is "
            'needed; tenants = ["*"] takes any'
        )
    tenants = frozenset(_texts(document, "tenants"))
    if not (fixed or tenants):
        raise ValueError('tenants names none, so nobody could be let in; tenants = ["*"] takes any')
    if jwks_file and "max_stale_s" in document:
        raise ValueError("max_stale_s is for jwks_url: keys of a file hold while it is there")
    claims = _claims(document, has_tenant=not fixed)
    return JwtSettings(
        issuer=_text(document, "issuer"),
        audiences=_non_empty("audience", frozenset(_texts(document, "audience"))),
        algorithms=_algorithms(document),
        jwks_file=folder / jwks_file if jwks_file else None,
        jwks_url=_checked_url(jwks_url) if jwks_url else None,
        ca_file=folder / ca_file if ca_file else None,
        leeway_s=_number(document, "leeway_s", 30, at_most=MAX_LEEWAY_S),
        max_lifetime_s=_number(
            document, "max_lifetime_s", 86_400, at_least=1, at_most=400 * 86_400
        ),
        max_stale_s=_number(
            document, "max_stale_s", 3600, at_least=MIN_STALE_S, at_most=7 * 86_400
        ),
        tenant=checked_tenant(fixed) if fixed else None,
        tenants=None if tenants == {ANY_TENANT} else frozenset(map(checked_tenant, tenants)),
        claims=claims,
        scopes=_scope_map(document),
    )


def _algorithms(document: Mapping[str, Any]) -> frozenset[str]:
    given = _non_empty("algorithms", frozenset(_texts(document, "algorithms")))
    if unknown := sorted(given - ALGORITHMS.keys()):
        raise ValueError(f"the algorithm {unknown[0]!r} is not taken: {', '.join(ALGORITHMS)}")
    return given


def _claims(document: Mapping[str, Any], *, has_tenant: bool) -> dict[str, str]:
    given = _table(document, "claims")
    if unknown := sorted(given.keys() - _CLAIMS.keys()):
        raise ValueError(f"[claims] has no {unknown[0]!r}: {', '.join(_CLAIMS)}")
    claims = {ours: _text(given, ours, theirs) for ours, theirs in _CLAIMS.items()}
    if not has_tenant and "tenant" in given:
        raise ValueError("[claims] names tenant, and tenant is the same for all: give one of them")
    for ours in ("owner", *(("tenant",) if has_tenant else ())):
        if not claims[ours]:
            raise ValueError(f"[claims] {ours} is empty, and no token has a claim without a name")
    return claims


def _scope_map(document: Mapping[str, Any]) -> dict[str, frozenset[Scope]]:
    given = _table(document, "scopes")
    if not given:
        return {str(scope): frozenset({scope}) for scope in ALL_SCOPES}
    return {value: checked_scopes(_texts(given, value)) for value in given}


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    is_plain = re.fullmatch(r"[!-~]+", url) and not re.search(r"[\\@#]", url)
    if parts.scheme != "https" or not parts.hostname or not is_plain or parts.port == 0:
        raise ValueError("jwks_url is https://HOST[:PORT]/PATH, without a user and a fragment")
    return url


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name, {})
    if not isinstance(found, dict):
        raise ValueError(f"[{name}] is a table")  # noqa: TRY004
    return found


def _text(document: Mapping[str, Any], name: str, default: str | None = None) -> str:
    found = document.get(name, default)
    if not isinstance(found, str) or (default is None and not found):
        raise ValueError(f"{name} is a text" if name in document else f"{name} is missing")
    return found


def _texts(document: Mapping[str, Any], name: str) -> list[str]:
    found = document.get(name, [])
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or not all(isinstance(text, str) and text for text in found):
        raise ValueError(f"{name} is a text or a list of texts")
    return found


def _number(
    document: Mapping[str, Any], name: str, default: int, *, at_least: int = 0, at_most: int
) -> int:
    found = document.get(name, default)
    if type(found) is not int or not at_least <= found <= at_most:
        raise ValueError(f"{name} is a whole number from {at_least} to {at_most}")
    return found


def _non_empty(name: str, found: frozenset[str]) -> frozenset[str]:
    if not found:
        raise ValueError(f"{name} is missing")
    return found
