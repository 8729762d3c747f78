"""Stored keys as JSON: version 2, which key files and databases hold, and version 1, which is read.

A key of version 1 has one secret, no pepper, its own id as tenant, no owner, and may do all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from serve.governance.identity.key_entry import (
    MAX_SECRETS,
    StoredKey,
    StoredSecret,
    as_text,
    checked_models,
    checked_owner,
    checked_preset,
    checked_scopes,
    checked_tenant,
)
from serve.governance.limit_names import checked_limits
from serve.governance.principal import ALL_SCOPES

FORMAT_VERSION = 2
READ_VERSIONS = (1, FORMAT_VERSION)

_FIELDS = frozenset(
    [
        *("id", "name", "tenant", "owner", "scopes", "models", "limits", "secrets", "pepper"),
        "preset",
        *("created_at", "rotated_at", "expires_at", "disabled"),
    ]
)


def entry_of(key: StoredKey) -> dict[str, Any]:
    """A key as version 2 has it."""
    return {
        "id": key.key_id,
        "name": key.name,
        "tenant": key.tenant,
        "owner": key.owner,
        "scopes": sorted(key.scopes),
        "models": None if key.models is None else sorted(key.models),
        "limits": dict(key.limits),
        **({"preset": key.preset} if key.preset else {}),  # older servers know no such field
        "secrets": [
            {
                "salt": secret.salt,
                "hash": secret.hash,
                "created_at": as_text(secret.created_at),
                "valid_until": as_text(secret.valid_until),
            }
            for secret in key.secrets
        ],
        "pepper": key.pepper,
        "created_at": as_text(key.created_at),
        "rotated_at": as_text(key.rotated_at),
        "expires_at": as_text(key.expires_at),
        "disabled": key.disabled,
    }


def key_of(entry: Mapping[str, Any], version: int = FORMAT_VERSION) -> StoredKey:
    """A key from its entry, checked so far that authentication cannot stumble over it.

    Raises:
        ValueError, TypeError, KeyError: it is no entry of that version; KeyError names the field.
    """
    return _from_1(entry) if version == 1 else _from_2(entry)


def _from_1(entry: Mapping[str, Any]) -> StoredKey:
    created_at = _utc(entry["created_at"])
    return StoredKey(
        key_id=_text(entry, "id"),
        name=_text(entry, "name"),
        tenant=checked_tenant(_text(entry, "id")),
        scopes=ALL_SCOPES,
        secrets=(
            StoredSecret(
                salt=_salt(entry["salt"]), hash=_hash(entry["hash"]), created_at=created_at
            ),
        ),
        created_at=created_at,
        expires_at=_utc_or_none(entry["expires_at"]),
        disabled=_flag(entry, "disabled"),
    )


def _from_2(entry: Mapping[str, Any]) -> StoredKey:
    if unknown := sorted(entry.keys() - _FIELDS):
        raise ValueError(f"a key has the unknown field {unknown[0]!r}")
    if not isinstance(entry["limits"], dict):
        raise ValueError("limits are an object")  # noqa: TRY004
    pepper = entry["pepper"]
    if not (pepper is None or isinstance(pepper, str)):
        raise ValueError("pepper is a text or null")
    secrets = tuple(_secret(secret) for secret in entry["secrets"])
    if not 1 <= len(secrets) <= MAX_SECRETS:
        raise ValueError(f"a key has 1 to {MAX_SECRETS} secrets")
    return StoredKey(
        key_id=_text(entry, "id"),
        name=_text(entry, "name"),
        tenant=checked_tenant(_text(entry, "tenant")),
        owner=checked_owner(_text(entry, "owner")),
        scopes=checked_scopes(_texts(entry, "scopes")),
        models=None if entry["models"] is None else checked_models(_texts(entry, "models")),
        limits=checked_limits(entry["limits"]),
        preset=checked_preset(_text(entry, "preset") if "preset" in entry else ""),
        secrets=secrets,
        pepper=pepper,
        created_at=_utc(entry["created_at"]),
        rotated_at=_utc_or_none(entry["rotated_at"]),
        expires_at=_utc_or_none(entry["expires_at"]),
        disabled=_flag(entry, "disabled"),
    )


def _secret(entry: Mapping[str, Any]) -> StoredSecret:
    return StoredSecret(
        salt=_salt(entry["salt"]),
        hash=_hash(entry["hash"]),
        created_at=_utc(entry["created_at"]),
        valid_until=_utc_or_none(entry["valid_until"]),
    )


def _salt(text: str) -> str:
    if len(bytes.fromhex(text)) < 16:
        raise ValueError("a salt has at least 16 bytes")
    return text


def _hash(text: str) -> str:
    if len(bytes.fromhex(text)) != 32:
        raise ValueError("a hash has 32 bytes")
    return text.lower()


def _text(entry: Mapping[str, Any], name: str) -> str:
    if not isinstance(entry[name], str):
        raise ValueError(f"{name} is a text")  # noqa: TRY004
    return str(entry[name])


def _texts(entry: Mapping[str, Any], name: str) -> list[str]:
    values = entry[name]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} is a list of texts")
    return values


def _flag(entry: Mapping[str, Any], name: str) -> bool:
    if not isinstance(entry[name], bool):
        raise ValueError(f"{name} is true or false")  # noqa: TRY004
    return bool(entry[name])


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time has no zone")
    return moment


def _utc_or_none(text: str | None) -> datetime | None:
    return None if text is None else _utc(text)
