"""API keys in a file: making, listing and revoking them, and the ring that follows the file.

A key is ``sk-<id>.<secret>``: the id is public and finds the entry, the secret is 256 random bits
and is stored only as HMAC-SHA256 under a salt of its own, and under the site's pepper where there
is one. A slow password hash would add nothing against a secret of that size and would let anyone
burn our CPU with wrong keys. Keys are only ever generated here, so a placeholder such as
``changeme`` cannot become one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from serve import timeline
from serve.errors import StartupError
from serve.governance.identity import key_changes
from serve.governance.identity.key_changes import DEFAULT_SCOPES, Keys, NewKey
from serve.governance.identity.key_entry import StoredKey, StoredSecret, peppered
from serve.governance.identity.key_file import (
    locked,
    read_entries,
    read_keys,
    signature_of,
    write_keys,
)
from serve.governance.identity.key_table import (
    KeyTable,
    check_models,
    unserved_models,
    utc_now,
)
from serve.governance.identity.pepper import Pepper

logger = logging.getLogger(__name__)

RELOAD_INTERVAL_S = 1.0
RETRY_INTERVAL_S = 10.0
"""After a file that could not be read and has not changed: the fault may have passed."""


def create(
    path: Path,
    *,
    name: str = "",
    expires_at: datetime | None = None,
    tenant: str | None = None,
    scopes: tuple[str, ...] = DEFAULT_SCOPES,
    models: tuple[str, ...] | None = None,
) -> str:
    """Add a key to the file, which is made where there is none, and return the key.

    It is shown this once: only its hash is kept. Safe for several processes at once. Arguments as
    of NewKey.

    Raises:
        StartupError: the wish does not do, or the file cannot be used.
    """
    wish = NewKey(name=name, expires_at=expires_at, tenant=tenant, scopes=scopes, models=models)
    entry, key = key_changes.made(wish, None)
    change(path, lambda keys: (*keys, entry), None, may_be_new=True)
    return key


def list_keys(path: Path) -> tuple[StoredKey, ...]:
    """All entries, oldest first.

    Raises:
        StartupError: the file cannot be read, is not ours, or others may read it.
    """
    return read_entries(path)


def revoke(path: Path, key_id: str) -> None:
    """Disable a key for good. Running servers notice within a second. Idempotent.

    Raises:
        StartupError: no key has that id, or the file cannot be used.
    """
    with locked(path):
        write_keys(path, key_changes.revoked(read_entries(path), key_id))


def change(
    path: Path,
    edit: Callable[[Keys], Keys],
    pepper: Pepper | None,
    *,
    may_be_new: bool = False,
    keeps_hashes: bool = False,
) -> None:
    """Change the file as a whole; what it writes is of the newest version, and under the pepper.

    Args:
        keeps_hashes: they stay as they are, under whatever pepper, so that none is needed.

    Raises:
        StartupError: as of ``edit``, or the file cannot be used.
    """
    with locked(path):
        is_new = may_be_new and not path.exists()
        entries = () if is_new else read_entries(path)
        write_keys(path, edit(entries if keeps_hashes else peppered(entries, pepper)))


class KeyRing(KeyTable):
    """Authenticates callers against a key file, and follows its changes.

    A change is noticed a second late at most: on a thread while ``run`` runs, as thousands of keys
    take a second to read; else by the first request after it. A new file that cannot be used is
    logged as an error, read again from time to time, and the keys known so far stay: locking every
    caller out because of a slip in an edit would be worse.

    Args:
        path: the key file; ``load`` is the usual way to a ring.
        clock: monotonic seconds; tests replace it.
        wall_clock: for expiry; tests replace it.
        pepper: under which the keys were stored.
        models: names that are served, of which keys may name some; None does not know them.

    Raises:
        StartupError: the file cannot be used, or a key names a model that is not served.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = timeline.now,
        wall_clock: Callable[[], datetime] = utc_now,
        pepper: Pepper | None = None,
        models: frozenset[str] | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._models = models
        self._signature = signature_of(path)
        self._checked_at = clock()
        self._retry_at = 0.0
        self._fault = ""
        self._is_followed = False
        self._reading = threading.Lock()
        super().__init__(pepper=pepper, wall_clock=wall_clock)
        keys = read_keys(path, pepper)
        check_models(keys, models)
        self.replace(keys)

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """A ring over the file. Raises StartupError where it cannot be used."""
        return cls(path)

    @property
    def is_in_force(self) -> bool:
        """Whether the keys are those of the file, at the last look at it."""
        return not self._fault

    def verified(self, key: str) -> tuple[StoredKey, StoredSecret]:
        """Answer as KeyTable does, of the file as it is now."""
        self._follow()
        return super().verified(key)

    def enabled(self, key_id: str) -> StoredKey:
        """Answer as KeyTable does, of the file as it is now."""
        self._follow()
        return super().enabled(key_id)

    async def run(self) -> None:
        """Look at the file each second until cancelled, and read it on a thread."""
        self._is_followed = True
        try:
            while True:
                await asyncio.sleep(RELOAD_INTERVAL_S)
                await asyncio.to_thread(self.reload, only_if_changed=True)
        finally:
            self._is_followed = False  # requests look again themselves

    def _follow(self) -> None:
        """Read the file again if it has changed since the last look."""
        if self._is_followed or self._clock() - self._checked_at < RELOAD_INTERVAL_S:
            return
        self.reload(only_if_changed=True)

    def reload(self, *, only_if_changed: bool = False) -> None:
        """Read the file again. What cannot be read is logged, and the keys known stay in force.

        A key that names a model which is not served is logged and taken, as what else the file
        says must hold: that another key is revoked.
        """
        with self._reading:  # else an older file could take the place of a newer one
            self._checked_at = now = self._clock()
            try:
                signature = signature_of(self._path)
            except StartupError:
                signature = None
            should_retry = bool(self._fault) and now >= self._retry_at
            if only_if_changed and signature == self._signature and not should_retry:
                return
            self._signature = signature
            try:
                keys = read_keys(self._path, self._pepper)
            except StartupError as error:
                self._retry_at = now + RETRY_INTERVAL_S
                if str(error) != self._fault:
                    logger.error("API keys not reloaded, the ones known stay in force: %s", error)  # noqa: TRY400
                self._fault = str(error)
                return
            if self._models is not None:
                for key_id, model in unserved_models(keys, self._models):
                    logger.error("the API key %s names a model not served: %s", key_id, model)
            self.replace(keys)
            self._fault = ""
            logger.info("API keys reloaded: %d keys", len(self))
