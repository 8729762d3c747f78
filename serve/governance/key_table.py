"""The keys in force, in memory: who shows a secret of one is known, and nobody else.

Every look-up costs the same: a key of an unknown id, a wrong secret, a revoked key, an expired one
and a good one are all hashed against MAX_SECRETS salts and compared in constant time.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from serve.errors import InvalidApiKey, StartupError
from serve.governance.key_entry import MAX_SECRETS, StoredKey, StoredSecret, hash_secret
from serve.governance.limit_names import Limits
from serve.governance.pepper import Pepper
from serve.governance.principal import Principal

MAX_KEY_CHARS = 128
_KEY = re.compile(r"sk-([A-Za-z0-9_-]{12,32})\.([A-Za-z0-9_-]{43})")
REJECTED = (
    "The API key is not valid. Send 'Authorization: Bearer sk-...' with a key of this server."
)


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
        self._keys = {key.key_id: key for key in keys}
        salt = secrets.token_hex(16)
        self._nothing = StoredSecret(
            salt=salt,
            hash=hash_secret(salt, secrets.token_urlsafe(32), pepper),
            created_at=wall_clock(),
            valid_until=wall_clock(),
        )

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self) -> tuple[StoredKey, ...]:
        """All keys, those that are revoked or expired, too."""
        return tuple(self._keys.values())

    def replace(self, keys: Iterable[StoredKey]) -> None:
        """Put other keys in force, all at once."""
        self._keys = {key.key_id: key for key in keys}

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
        entry = self._keys.get(key_id)
        now = self._wall_clock()
        shown: StoredSecret | None = None
        for index in range(MAX_SECRETS):  # as many hashes, whatever is stored
            has_one = entry is not None and index < len(entry.secrets)
            secret = entry.secrets[index] if entry is not None and has_one else self._nothing
            if secret.matches(text, self._pepper) and has_one and secret.is_valid(now):
                shown = shown or secret
        if entry is None or shown is None:
            raise InvalidApiKey(REJECTED)
        self._check_state(entry, now)
        return entry, shown

    def enabled(self, key_id: str) -> StoredKey:
        """The key of that id as it is now. Raises InvalidApiKey where it is none in force."""
        entry = self._keys.get(key_id)
        if entry is None:
            raise InvalidApiKey(REJECTED)
        self._check_state(entry, self._wall_clock())
        return entry

    def limits_of(self, key_id: str) -> Limits | None:
        """The limits that are stored with the key of that id; None where there is no such key."""
        entry = self._keys.get(key_id)
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
