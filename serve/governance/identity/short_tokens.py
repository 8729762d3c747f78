"""Short tokens: what a client gets for its key at ``POST /oauth/token`` (RFC 6749, section 4.4).

::

    st-<claims>.<HMAC-SHA256>    claims: base64url of {"k": key id, "s": scopes, "v": ..., "e": end}

``v`` names the secret that was shown, by a hash of what is stored of it. A token holds nothing that
the key does not have: at each use the key is looked up, so a token ends with its key, or with its
secret when that is replaced, and loses a scope when the key does.

The HMAC's key comes from the pepper. Without one it is random: then a token is good on the replica
that made it alone, and not after a restart.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from serve.errors import InvalidApiKey, InvalidScope
from serve.governance.identity.credentials import Credentials
from serve.governance.identity.key_entry import StoredSecret
from serve.governance.identity.key_table import KeyTable, utc_now
from serve.governance.identity.pepper import Pepper
from serve.governance.principal import Principal

LIFETIME: Final = timedelta(minutes=10)

_TOKEN = re.compile(r"st-([A-Za-z0-9_-]{20,1000})\.([A-Za-z0-9_-]{43})")
_REJECTED = "The token is not valid, or its time is over. Get another at /oauth/token."


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortToken:
    """A token that was made, and what the client is told of it."""

    text: str
    expires_in_s: int
    scopes: tuple[str, ...]


class ShortTokens:
    """Makes short tokens, and knows who shows one.

    Args:
        keys: of the clients.
        pepper: from which the signing key is derived; None makes one for this process.
        wall_clock: tests replace it.
    """

    def __init__(
        self,
        keys: KeyTable,
        pepper: Pepper | None,
        *,
        wall_clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._keys = keys
        self._signing_key = secrets.token_bytes(32) if pepper is None else pepper.derived(b"token")
        self._wall_clock = wall_clock

    def make(self, client_id: str, client_secret: str, scopes: Iterable[str] | None) -> ShortToken:
        """A token for a key, which is shown as its two parts.

        Args:
            scopes: fewer than the key's; None is all of them.

        Raises:
            InvalidApiKey: the key is none of ours, revoked or expired.
            InvalidScope: a scope that the key does not have.
        """
        key, secret = self._keys.verified(f"sk-{client_id}.{client_secret}")
        wanted = sorted(key.scopes if scopes is None else set(scopes))
        if lacking := [scope for scope in wanted if scope not in key.scopes]:
            raise InvalidScope(
                f"The key does not have the scope {lacking[0][:40]!r}. Its scopes are: "
                f"{', '.join(sorted(key.scopes)) or 'none'}."
            )
        now = self._wall_clock()
        end = min(filter(None, (now + LIFETIME, key.expires_at, secret.valid_until)))
        end_s = int(end.timestamp())
        claims = {"k": key.key_id, "s": wanted, "v": _name_of(secret), "e": end_s}
        body = _encoded(json.dumps(claims, separators=(",", ":")).encode())
        return ShortToken(
            text=f"st-{body}.{_encoded(self._signature(body))}",
            expires_in_s=max(0, end_s - int(now.timestamp())),
            scopes=tuple(wanted),
        )

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """The owner of the token's key, with the token's scopes; None where this is no such token.

        Raises:
            InvalidApiKey: the token is not ours, or its time is over, or its key's is.
        """
        token = credentials.token
        if token is None or not token.startswith("st-"):
            return None
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise InvalidApiKey(_REJECTED)
        body, signature = match.groups()
        if not hmac.compare_digest(_encoded(self._signature(body)), signature):
            raise InvalidApiKey(_REJECTED)
        claims = json.loads(_decoded(body))  # ours: nobody else could sign it
        now = self._wall_clock()
        if now.timestamp() >= claims["e"]:
            raise InvalidApiKey(_REJECTED)
        key = self._keys.enabled(claims["k"])
        if not any(
            _name_of(secret) == claims["v"] and secret.is_valid(now) for secret in key.secrets
        ):
            raise InvalidApiKey(_REJECTED)
        return replace(key.principal(), scopes=key.scopes.intersection(claims["s"]))

    def _signature(self, body: str) -> bytes:
        return hmac.digest(self._signing_key, body.encode(), "sha256")


def _name_of(secret: StoredSecret) -> str:
    """A name of the secret that tells nothing of it: a hash of its hash."""
    return hashlib.sha256(bytes.fromhex(secret.hash)).hexdigest()[:16]


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
