"""Salts that part tenants in the prefix cache: one for each, which no client can choose.

Whether a prompt's prefix is in the cache shows in the time to the first token, so a shared cache
would tell one tenant what another one asks (CVE-2025-46570). A salt of the client's own splits a
tenant's share further; it can never lead into another's.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets


class CacheSalts:
    """Salts under a key of this process: outside it nobody can compute them.

    Args:
        key: at least 32 random bytes; made here unless given.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def of(self, tenant: str, client_salt: str | None = None) -> str:
        """The salt of a tenant's requests, or of those of them that bring the same salt."""
        mac = hmac.new(self._key, digestmod=hashlib.sha256)
        # Lengths first, so that no pair of names reads as another pair.
        for part in (tenant, client_salt):
            raw = b"" if part is None else part.encode()
            mac.update(b"-" if part is None else str(len(raw)).encode() + b":" + raw)
        return mac.hexdigest()[:32]
