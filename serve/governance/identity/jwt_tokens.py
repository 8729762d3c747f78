"""Signed tokens of the site's identity provider (JWT; RFC 7519, RFC 8725): the one home of PyJWT.

The library checks the signature, with a key of the configured set and one algorithm that both that
key and the settings allow; what surrounds the signature is read strictly before (strict_claims.py).
A token chooses nothing but which of the configured keys is tried.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from jwt.types import Options

from serve.errors import InvalidApiKey
from serve.governance.identity.credentials import Credentials
from serve.governance.identity.jwks import PublicKey
from serve.governance.identity.jwks_sources import FileJwks, JwksSource, UrlJwks, fetcher
from serve.governance.identity.jwt_settings import JwtSettings
from serve.governance.identity.key_entry import checked_models, checked_owner, checked_tenant
from serve.governance.identity.strict_claims import (
    TokenRefusedError,
    check_parties,
    check_times,
    header_of,
    payload_of,
    words_of,
)
from serve.governance.principal import Principal, Scope

logger = logging.getLogger(__name__)

MAX_CACHED: Final = 4096
MAX_MODELS: Final = 256
_OPTIONS: Final[Options] = {
    "verify_signature": True,
    "verify_exp": False,  # these are checked by check_times and check_parties, which are stricter
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that was good: whose, when it ends, and under which set of keys it was checked."""

    principal: Principal
    ends_at: int
    version: int


class JwtTokens:
    """Knows who shows a signed token of the identity provider.

    Args:
        settings: whose tokens, and what their claims mean.
        source: the provider's public keys.
        wall_clock: Unix seconds; tests replace it.

    Attributes:
        num_checked: signatures that were checked; the others were remembered.
    """

    def __init__(
        self,
        settings: JwtSettings,
        source: JwksSource,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._source = source
        self._wall_clock = wall_clock
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()
        self.num_checked = 0

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """The caller that the token names; None where this is no token of three parts.

        Raises:
            InvalidApiKey: the token is not good.
            KeyStoreUnavailable: the keys to check it with are away.
        """
        token = credentials.token
        if token is None or token.startswith(("sk-", "st-")) or token.count(".") < 2:
            return None
        try:
            return self._known(token)
        except (TokenRefusedError, jwt.PyJWTError, ValueError) as error:
            reason = str(error) if isinstance(error, TokenRefusedError) else type(error).__name__
            logger.info("a signed token was refused: %s", reason)
            raise InvalidApiKey(
                "The token is not valid: get another one from the identity provider."
            ) from None

    def _known(self, token: str) -> Principal:
        """The caller, from the cache where the token was checked before. Raises as authenticate."""
        name = hashlib.sha256(token.encode()).digest()
        algorithm, kid = header_of(token)
        key = self._source.key(kid)  # follows the set, and refuses where it is too old
        if key is None:
            raise TokenRefusedError("its key (kid) is none of the configured set")
        known, now = self._cache.get(name), self._wall_clock()
        if known is not None and known.version == self._source.version and now < known.ends_at:
            self._cache.move_to_end(name)
            return known.principal
        self._cache.pop(name, None)
        claims = self._checked(token, algorithm, key)
        ends_at = check_times(
            claims,
            now=now,
            leeway_s=self._settings.leeway_s,
            max_lifetime_s=self._settings.max_lifetime_s,
        )
        check_parties(claims, issuer=self._settings.issuer, audiences=self._settings.audiences)
        principal = self._principal(claims)
        self._cache[name] = _Verified(principal, ends_at, self._source.version)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return principal

    def _checked(self, token: str, algorithm: str, key: PublicKey) -> dict[str, Any]:
        """The claims of a token whose signature holds. Raises TokenRefusedError, PyJWTError."""
        if algorithm not in key.algorithms or algorithm not in self._settings.algorithms:
            raise TokenRefusedError("its algorithm is not allowed for its key")
        self.num_checked += 1
        jwt.decode_complete(
            token,
            key=jwt.PyJWK(dict(key.numbers), algorithm),
            algorithms=[algorithm],
            options=_OPTIONS,
        )
        return payload_of(token)

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        """The caller. Raises TokenRefusedError, ValueError where a claim does not do."""
        settings = self._settings
        owner = _text(claims, settings.claims["owner"])
        tenant = settings.tenant
        if tenant is None:
            tenant = checked_tenant(_text(claims, settings.claims["tenant"]))
            if settings.tenants is not None and tenant not in settings.tenants:
                raise TokenRefusedError("its tenant is none of the configured ones")
        subject = f"{settings.issuer}\0{tenant}\0{owner}".encode()
        return Principal(
            key_id=f"jwt-{hashlib.sha256(subject).hexdigest()[:16]}",
            name="",
            tenant=tenant,
            owner=checked_owner(owner),
            scopes=self._scopes(claims),
            models=self._models(claims),
        )

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        """Scopes that its values of the claim allow; values of others are passed over."""
        name = self._settings.claims["scopes"]
        granted: set[Scope] = set()
        for value in words_of(claims[name]) if name and name in claims else ():
            granted |= self._settings.scopes.get(value, frozenset())
        return frozenset(granted)

    def _models(self, claims: Mapping[str, Any]) -> frozenset[str] | None:
        """Models that it may ask: all where no claim is read, none where it lacks that claim."""
        name = self._settings.claims["models"]
        if not name:
            return None
        models = words_of(claims.get(name, []))
        if len(models) > MAX_MODELS:
            raise TokenRefusedError("it names too many models")
        return checked_models(models)


def jwks_source(settings: JwtSettings) -> JwksSource:
    """The source of the settings' keys. Raises StartupError where it cannot be used."""
    if settings.jwks_file is not None:
        return FileJwks(settings.jwks_file, settings.algorithms)
    if settings.jwks_url is None or settings.ca_file is None:
        raise ValueError("settings have a file, or a URL and a CA")
    fetch = fetcher(settings.jwks_url, settings.ca_file)
    return UrlJwks(fetch, settings.algorithms, settings.max_stale_s)


def _text(claims: Mapping[str, Any], name: str) -> str:
    found = claims.get(name)
    if not isinstance(found, str) or not found:
        raise TokenRefusedError("it lacks a claim that is needed")
    return found
