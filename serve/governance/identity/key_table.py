"""The keys in force, in memory: who shows a secret of one is known, and nobody else.

Every look-up costs the same: a key of an unknown id, a wrong secret, a revoked key, an expired one
and a good one are all hashed against MAX_SECRETS salts and compared in constant time.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from serve.errors import InvalidApiKey, StartupError
from serve.governance.identity.key_entry import MAX_SECRETS, StoredKey, StoredSecret
from serve.governance.identity.pepper import Pepper
from serve.governance.limit_names import Limits
from serve.governance.principal import Principal

MAX_KEY_CHARS = 128
_KEY = re.compile(r"sk-([A-Za-z0-9_-]{12,32})\.([A-Za-z0-9_-]{43})")
REJECTED = (
    "The API key is not valid. Send 'Authorization: Bearer sk-...' with a key of this server."
)


_NOBODY = ""
_NEVER = datetime.min.replace(tzinfo=UTC)
_ALWAYS = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Slot:
    """A secret to compare with, and when it ends; without one, a secret that nobody has."""

    secret: StoredSecret
    ends_at: datetime


_Entry = tuple[StoredKey | None, tuple[_Slot, ...]]


def _slots(stored: tuple[StoredSecret, ...]) -> tuple[_Slot, ...]:
    """MAX_SECRETS slots: those of the secrets, then of such that nobody has."""
    real = [_Slot(secret, secret.valid_until or _ALWAYS) for secret in stored]
    padding = [
        _Slot(
            StoredSecret(salt=secrets.token_hex(16), hash=secrets.token_hex(32), created_at=_NEVER),
            _NEVER,
        )
        for _ in range(MAX_SECRETS - len(stored))
    ]
    return (*real, *padding)


def utc_now() -> datetime:
    return datetime.now(UTC)


class KeyTable:
    """Keys by their ids.

    Args:
        keys: with hashes under the pepper.
        wall_clock: for expiry; tests replace it.
    """

    def __init__(
        self,
        keys: Iterable[StoredKey] = (),
        *,
        pepper: Pepper | None = None,
        wall_clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._pepper = pepper
        self._wall_clock = wall_clock
        self._in_force: tuple[dict[str, _Entry], tuple[str, ...]] = ({}, ())
        self.replace(keys)

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> tuple[StoredKey, ...]:
        """All keys, those that are revoked or expired, too."""
        return tuple(key for key, _ in self._in_force[0].values() if key is not None)

    def replace(self, keys: Iterable[StoredKey]) -> None:
        """Put other keys in force, all at once."""
        entries: dict[str, _Entry] = {key.key_id: (key, _slots(key.secrets)) for key in keys}
        entries = entries or {_NOBODY: (None, _slots(()))}
        self._in_force = entries, tuple(entries)  # one step: also from another thread

    def authenticate(self, key: str) -> Principal:
        """The caller that a key, ``sk-<id>.<secret>``, stands for.

        Raises:
            InvalidApiKey: anything but an enabled, unexpired key of ours. Which of the two parts
                was wrong is not told, also not by the time that the answer takes.
        """
        return self.verified(key)[0].principal()

    def verified(self, key: str) -> tuple[StoredKey, StoredSecret]:
        """The entry of a key and the secret that was shown. Raises InvalidApiKey."""
        match = _KEY.fullmatch(key) if len(key) <= MAX_KEY_CHARS else None
        if match is None:
            raise InvalidApiKey(REJECTED)
        key_id, text = match.groups()
        entries, ids = self._in_force
        # An id that is not known is checked against some other key, and refused whatever comes out:
        # it takes as many steps through memory as one that is.
        stand_in = ids[hash(key_id) % len(ids)]
        chosen = key_id if key_id in entries else stand_in
        entry, slots = entries[chosen]
        now = self._wall_clock()
        shown: StoredSecret | None = None
        for slot in slots:  # as many for each key, and for none
            is_it = slot.secret.matches(text, self._pepper)
            is_valid = now < slot.ends_at
            if is_it and is_valid:
                shown = slot.secret
        if entry is None or shown is None or chosen != key_id:
            raise InvalidApiKey(REJECTED)
        self._check_state(entry, now)
        return entry, shown

    def enabled(self, key_id: str) -> StoredKey:
        """The key of that id as it is now. Raises InvalidApiKey where it is none in force."""
        entry, _ = self._in_force[0].get(key_id, (None, ()))
        if entry is None:
            raise InvalidApiKey(REJECTED)
        self._check_state(entry, self._wall_clock())
        return entry

    def limits_of(self, key_id: str) -> Limits | None:
        """The limits that are stored with the key of that id; None where there is no such key."""
        entry, _ = self._in_force[0].get(key_id, (None, ()))
        return None if entry is None else entry.limits

    @staticmethod
    def _check_state(entry: StoredKey, now: datetime) -> None:
        if entry.disabled:
            raise InvalidApiKey("The API key has been revoked. Ask the operator for a new one.")
        if entry.is_expired(now):
            raise InvalidApiKey("The API key has expired. Ask the operator for a new one.")


def unserved_models(keys: Iterable[StoredKey], served: frozenset[str]) -> list[tuple[str, str]]:
    """Id and model of each key that names a model which is not served."""
    return [
        (key.key_id, model) for key in keys for model in sorted((key.models or served) - served)
    ]


def check_limits(keys: Iterable[StoredKey]) -> None:
    """Refuse keys with limits, for a server that counts none.

    Raises:
        StartupError: with the key's id, and what to do.
    """
    for key in keys:
        if key.limits and not key.disabled:
            raise StartupError(
                f"The API key {key.key_id} has limits ({', '.join(sorted(key.limits))}), and "
                "nothing counts them. Start with --usage-ledger or --limits-file, or take the "
                "limits away."
            )


def check_models(keys: Iterable[StoredKey], served: frozenset[str] | None) -> None:
    """Refuse keys that name a model which is not served; None is not known and refuses nothing.

    Raises:
        StartupError: with the key's id and the names that there are.
    """
    if served is None:
        return
    for key_id, model in unserved_models(keys, served):
        raise StartupError(
            f"The API key {key_id} may ask the model {model!r}, which is not served. Served: "
            f"{', '.join(sorted(served))}."
        )
