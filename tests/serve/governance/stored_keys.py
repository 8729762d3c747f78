"""Stored keys for tests, and a key file as version 1 wrote it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from serve.governance.identity.key_entry import StoredKey, StoredSecret, hash_secret
from serve.governance.identity.pepper import Pepper
from serve.governance.principal import ALL_SCOPES

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SALT = "5a" * 16


def stored_secret(
    secret: str, *, pepper: Pepper | None = None, valid_until: datetime | None = None
) -> StoredSecret:
    hashed = hash_secret(SALT, secret, pepper)
    return StoredSecret(salt=SALT, hash=hashed, created_at=NOON, valid_until=valid_until)


def stored_key(secret: str, *, key_id: str = "abc", **fields: Any) -> StoredKey:
    given: dict[str, Any] = {
        "name": "ward-3",
        "tenant": key_id,
        "scopes": ALL_SCOPES,
        "secrets": (stored_secret(secret),),
        "created_at": NOON,
    }
    return StoredKey(key_id=key_id, **given | fields)


def version_1(*key_ids: str, secret: str) -> str:
    entries = [
        {
            "id": key_id,
            "name": "old",
            "salt": SALT,
            "hash": hash_secret(SALT, secret),
            "created_at": NOON.isoformat(),
            "expires_at": None,
            "disabled": False,
        }
        for key_id in key_ids
    ]
    return json.dumps({"version": 1, "keys": entries})
