"""Changes of stored keys: make, give a new secret or preset, revoke, limit, take out. All are pure.

Each takes all keys of a store and gives them back changed, so that a file and a database change
alike. A new key's text is made here and returned once.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from serve.errors import StartupError
from serve.governance.identity.key_entry import (
    StoredKey,
    StoredSecret,
    checked_models,
    checked_name,
    checked_owner,
    checked_preset,
    checked_scopes,
    checked_tenant,
    hash_secret,
)
from serve.governance.identity.pepper import Pepper
from serve.governance.limit_names import Limits, checked_limits

DEFAULT_SCOPES: Final = ("infer", "batch", "metrics")
"""What a key may do unless it is said: all but to read others' records and to administer."""
DEFAULT_OVERLAP: Final = timedelta(days=1)
MAX_OVERLAP: Final = timedelta(days=90)

Keys = tuple[StoredKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """The wish for a key.

    Attributes:
        name: whose it is; at most 64 printable characters.
        tenant: None is the key's own id: it shares with nobody.
        scopes: their names.
        models: None is all.
        preset: empty is none.
        expires_at: with a time zone; None means never.
    """

    name: str = ""
    tenant: str | None = None
    owner: str = ""
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    models: tuple[str, ...] | None = None
    limits: Limits = field(default_factory=dict)
    preset: str = ""
    expires_at: datetime | None = None


def made(new: NewKey, pepper: Pepper | None) -> tuple[StoredKey, str]:
    """A new entry, and the key itself: ``sk-<id>.<secret>``.

    Raises:
        StartupError: a part of the wish does not do.
    """
    key_id = secrets.token_urlsafe(9)
    while key_id.startswith("-"):  # on a command line it would be a flag
        key_id = secrets.token_urlsafe(9)
    text, now = secrets.token_urlsafe(32), _now()
    try:
        entry = StoredKey(
            key_id=key_id,
            name=checked_name(new.name),
            tenant=checked_tenant(key_id if new.tenant is None else new.tenant),
            owner=checked_owner(new.owner),
            scopes=checked_scopes(new.scopes),
            models=checked_models(new.models),
            limits=checked_limits(new.limits),
            preset=checked_preset(new.preset),
            secrets=(_stored(text, now, pepper),),
            pepper=None if pepper is None else pepper.pepper_id,
            created_at=now,
            expires_at=new.expires_at,
        )
    except ValueError as error:
        raise _refusal(error) from None
    return entry, f"sk-{key_id}.{text}"


def rotated(keys: Keys, key_id: str, overlap: timedelta, pepper: Pepper | None) -> tuple[Keys, str]:
    """The keys with a new secret for one, and that key; its old secret holds for the overlap.

    A secret that was replaced before ends now: a key has two secrets at most.

    Raises:
        StartupError: no key has that id, it is revoked, or the overlap is out of bounds.
    """
    if not timedelta() <= overlap <= MAX_OVERLAP:
        raise StartupError(f"An overlap lasts 0 to {MAX_OVERLAP.days * 24} hours.")
    key = found(keys, key_id)
    if key.disabled:
        raise StartupError(f"The key {key_id} is revoked, for good: make another.")
    text, now = secrets.token_urlsafe(32), _now()
    old = (replace(key.secrets[0], valid_until=now + overlap),) if overlap else ()
    changed = replace(key, secrets=(_stored(text, now, pepper), *old), rotated_at=now)
    return _with(keys, changed), f"sk-{key_id}.{text}"


def revoked(keys: Keys, key_id: str) -> Keys:
    """The keys with one disabled for good. Raises StartupError where no key has that id."""
    return _with(keys, replace(found(keys, key_id), disabled=True))


def limited(keys: Keys, key_id: str, changes: Mapping[str, int | str | None]) -> Keys:
    """The keys with other limits for one; None takes a limit away.

    Raises:
        StartupError: no key has that id, or a limit is none.
    """
    key = found(keys, key_id)
    wanted = {name: value for name, value in {**key.limits, **changes}.items() if value is not None}
    try:
        return _with(keys, replace(key, limits=checked_limits(wanted)))
    except ValueError as error:
        raise _refusal(error) from None


def preset_to(keys: Keys, key_id: str, preset: str) -> Keys:
    """The keys with another preset for one; the empty one is none.

    Raises:
        StartupError: no key has that id, or the preset's name can be none.
    """
    key = found(keys, key_id)
    try:
        return _with(keys, replace(key, preset=checked_preset(preset)))
    except ValueError as error:
        raise _refusal(error) from None


def without(keys: Iterable[StoredKey], key: str) -> Keys:
    """The keys without one that was made and could not be shown to anyone.

    Args:
        key: the whole key, ``sk-<id>.<secret>``.
    """
    key_id = key.removeprefix("sk-").partition(".")[0]
    return tuple(stored for stored in keys if stored.key_id != key_id)


def found(keys: Iterable[StoredKey], key_id: str) -> StoredKey:
    """The key of that id. Raises StartupError where there is none."""
    for key in keys:
        if key.key_id == key_id:
            return key
    raise StartupError(f"No key has the id {key_id!r}: `keys list` shows those there are.")


def _with(keys: Keys, changed: StoredKey) -> Keys:
    return tuple(changed if key.key_id == changed.key_id else key for key in keys)


def _stored(text: str, now: datetime, pepper: Pepper | None) -> StoredSecret:
    salt = secrets.token_hex(16)
    return StoredSecret(salt=salt, hash=hash_secret(salt, text, pepper), created_at=now)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _refusal(error: ValueError) -> StartupError:
    text = str(error)
    return StartupError(f"{text[:1].upper()}{text[1:]}.")
