"""Sources of public keys: a file that is followed, or a URL that is asked in the background.

Nothing is fetched in a request's way, and nothing that a token names is fetched at all. A set that
cannot be read leaves the keys that are known in force: those of a file for good, those of a URL for
a time (``max_stale_s``), as only the issuer can say that a key has ended.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from models import plain_file
from serve import timeline
from serve.errors import KeyStoreUnavailable, StartupError
from serve.governance.identity.jwks import MAX_JWKS_BYTES, PublicKey, public_keys
from serve.governance.identity.private_file import check_not_writable

logger = logging.getLogger(__name__)

FILE_INTERVAL_S: Final = 1.0
URL_INTERVAL_S: Final = 300.0
RETRY_INTERVAL_S: Final = 10.0
"""Seconds after a failure, and at least between two fetches that unknown key ids ask for."""
FETCH_TIMEOUT_S: Final = 5.0


class JwksSource(Protocol):
    """The public keys in force.

    Attributes:
        version: another number for other keys.
    """

    version: int

    def key(self, kid: str) -> PublicKey | None:
        """The key of that id. Raises KeyStoreUnavailable where no keys are in force."""
        ...

    async def run(self) -> None:
        """Keep the keys fresh until cancelled."""
        ...


class FileJwks:
    """The keys of a file. A change is noticed by the first token after it, a second late at most.

    Raises:
        StartupError: the file cannot be used.
    """

    def __init__(
        self, path: Path, allowed: frozenset[str], *, clock: Callable[[], float] = timeline.now
    ) -> None:
        self._path = path
        self._allowed = allowed
        self._clock = clock
        self.version = 0
        try:
            self._signature = self._look()
            self._keys = self._read()
        except (OSError, ValueError) as error:
            raise StartupError(f"JWKS file {path}: {_words(error)}.") from None
        self._checked_at = clock()

    def key(self, kid: str) -> PublicKey | None:
        """The key of that id in the file as it is now."""
        if self._clock() - self._checked_at >= FILE_INTERVAL_S:
            self._checked_at = self._clock()
            self._follow()
        return self._keys.get(kid)

    async def run(self) -> None:
        """Do nothing: the file is looked at when a token comes."""

    def _follow(self) -> None:
        try:
            signature = self._look()
            if signature == self._signature:
                return
            self._signature = signature
            self._keys = self._read()
        except (OSError, ValueError) as error:
            self._signature = None
            logger.error("JWKS file not reloaded, its keys stay in force: %s", _words(error))  # noqa: TRY400
        else:
            self.version += 1
            logger.info("JWKS file reloaded: %d keys", len(self._keys))

    def _look(self) -> tuple[int, ...] | None:
        check_not_writable(self._path)
        found = self._path.stat()
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def _read(self) -> dict[str, PublicKey]:
        raw = plain_file.read(self._path, MAX_JWKS_BYTES, may_be_link=True)
        return public_keys(raw, self._allowed)


class UrlJwks:
    """The keys of an HTTPS URL within the site, fetched in the background.

    Args:
        fetch: gives the set's bytes; blocks, and runs on a thread.
        allowed: algorithms.
        max_stale_s: after so long without a good answer no key is in force.
        clock: monotonic seconds; tests replace it.
    """

    def __init__(
        self,
        fetch: Callable[[], bytes],
        allowed: frozenset[str],
        max_stale_s: float,
        *,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self._fetch = fetch
        self._allowed = allowed
        self._max_stale_s = max_stale_s
        self._clock = clock
        self._keys: dict[str, PublicKey] = {}
        self._read_at: float | None = None
        self._wanted = asyncio.Event()
        self.version = 0

    def key(self, kid: str) -> PublicKey | None:
        """The key of that id. One that is not known has the set fetched soon, for the next token.

        Raises:
            KeyStoreUnavailable: no set was read yet, or not for too long.
        """
        if self._read_at is None or self._clock() - self._read_at > self._max_stale_s:
            raise KeyStoreUnavailable(
                "The keys of the identity provider could not be read, so no token of it can be "
                "checked. API keys are not affected.",
                retry_after_s=5,
            )
        found = self._keys.get(kid)
        if found is None:
            self._wanted.set()
        return found

    async def run(self) -> None:
        """Fetch the keys again and again: sooner after a failure and where a token needs others."""
        between = max(RETRY_INTERVAL_S, min(URL_INTERVAL_S, self._max_stale_s / 3))
        while True:
            pause = between if await self.refresh() else RETRY_INTERVAL_S
            self._wanted.clear()
            await asyncio.sleep(RETRY_INTERVAL_S)
            try:
                async with asyncio.timeout(pause - RETRY_INTERVAL_S):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    async def refresh(self) -> bool:
        """Fetch the keys once; whether that worked."""
        try:
            keys = public_keys(await asyncio.to_thread(self._fetch), self._allowed)
        except (OSError, ValueError, http.client.HTTPException) as error:
            logger.error("JWKS not fetched, the keys known stay for now: %s", _words(error))  # noqa: TRY400
            return False
        self._read_at = self._clock()
        if keys != self._keys:
            self._keys = keys
            self.version += 1
            logger.info("JWKS fetched: %d keys", len(keys))
        return True


def fetcher(url: str, ca_file: Path) -> Callable[[], bytes]:
    """A function that gets a URL: of this host alone, by this CA alone, no redirect and no proxy.

    Raises:
        StartupError: the CA file cannot be used.
    """
    parts = urlsplit(url)
    try:
        check_not_writable(ca_file)
        context = ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ValueError, ssl.SSLError) as error:
        raise StartupError(f"CA file {ca_file}: {_words(error)}.") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def fetch() -> bytes:
        deadline = timeline.now() + FETCH_TIMEOUT_S
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=FETCH_TIMEOUT_S, context=context
        )
        try:
            connection.request("GET", target, headers={"accept": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                raise ValueError(f"the answer's status is {response.status}, not 200")
            raw = b""
            while piece := response.read1(65_536):
                raw += piece
                if len(raw) > MAX_JWKS_BYTES:
                    raise ValueError(f"the answer has more than {MAX_JWKS_BYTES} bytes")
                if timeline.now() > deadline:
                    raise ValueError(f"the answer took more than {FETCH_TIMEOUT_S:g} s")
            return raw
        finally:
            connection.close()

    return fetch


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
