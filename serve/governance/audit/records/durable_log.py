"""The log on the disk (serve/governance/audit/log) as records are written to it (an EntryLog)."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from models import plain_file
from serve.errors import StartupError
from serve.governance.audit.log import segments
from serve.governance.audit.log.errors import LogDamaged, LogUnavailable
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.pruning import minimum_index
from serve.governance.audit.log.tile_files import CHECKPOINT
from serve.governance.audit.log.writer import AuditLog
from serve.governance.audit.records.entry_log import LogAwayError
from serve.governance.audit.tlog.key_files import read_log_signer, read_verifiers, write_signer
from serve.governance.audit.tlog.keys import NoteSigner, NoteVerifier
from serve.governance.audit.tlog.notes import MAX_NOTE_BYTES

log = logging.getLogger(__name__)

KEY_SUFFIX: Final = ".key"


class DurableLog:
    """A log that is open (an EntryLog). ``open_log`` makes it."""

    def __init__(self, opened: AuditLog, verifiers: Sequence[NoteVerifier]) -> None:
        self._log = opened
        self._verifiers = verifiers
        self._tail: tuple[int, dict[int, bytes]] = (-1, {})
        recovery = opened.recovery
        self.recovered = (
            f"{recovery.torn_bytes} bytes of a torn tail were set aside"
            if recovery.torn_bytes
            else ""
        )

    @property
    def size(self) -> int:
        return self._log.size

    @property
    def origin(self) -> str:
        return self._log.origin

    async def append(self, entries: Sequence[bytes]) -> int:
        """The index of the first; all are durable. Raises LogAwayError."""
        try:
            return await self._log.append(entries)
        except (LogUnavailable, OSError) as error:
            raise LogAwayError(str(error)) from None

    def first_index(self) -> int:
        """The index of the first entry that was not pruned. Raises LogAwayError."""
        try:
            return minimum_index(self._log.folder)
        except (LogDamaged, OSError) as error:
            raise LogAwayError(f"it cannot be read: {error}") from None

    def read(self, start: int, end: int) -> list[bytes]:
        """Entries of a range, out of full tiles and the journal. Raises LogAwayError."""
        try:
            folder = LogFolder(self._log.folder, self._verifiers, origin=self._log.origin)
            if self._tail[0] != self._log.size:
                self._tail = (self._log.size, dict(folder.journal_entries()))
            tail = self._tail[1]
            in_tiles = min(end, min(tail, default=self._log.size))
            found = [entry for _, entry in folder.entries(start, in_tiles)]
            return [*found, *(tail[at] for at in range(max(start, in_tiles), end))]
        except (LogDamaged, OSError, KeyError, ValueError) as error:
            raise LogAwayError(f"it cannot be read: {error}") from None

    async def close(self) -> None:
        """Let go of it."""
        await self._log.close()


async def open_durable(folder: Path, key_file: Path) -> DurableLog:
    """Open a log's folder, or make it.

    Raises:
        LogInUse, LogDamaged, StartupError: it cannot be used.
        LogAwayError: the disk does not let it.
    """
    try:
        return await asyncio.to_thread(_opened, folder, key_file)
    except OSError as error:
        raise LogAwayError(f"{error.strerror or error} ({error.filename or folder})") from None


def _opened(folder: Path, key_file: Path) -> DurableLog:
    signer = read_log_signer(key_file)
    verifiers = verifiers_of(key_file, signer)
    _check_name(folder, signer.name)
    opened = AuditLog.open(folder, origin=signer.name, signer=signer, old_keys=verifiers)
    return DurableLog(opened, verifiers)


def _check_name(folder: Path, origin: str) -> None:
    """Check that no log beside this one has its name: a witness signs one log of a name.

    Where this one is there already the other may be a copy of it, which is told and no more.

    Raises:
        StartupError: one has, and this one would be a new one.
    """
    for other in folder.parent.glob(f"*/{CHECKPOINT}"):
        if other.parent.name == folder.name:
            continue
        try:
            name = plain_file.read(other, MAX_NOTE_BYTES).partition(b"\n")[0]
        except OSError:
            continue  # whoever writes that log will say so
        if name != origin.encode():
            continue
        if not (folder / CHECKPOINT).exists():
            raise StartupError(
                f"The log {other.parent} is named {origin}, as this one's key is: a witness would "
                f"refuse one of them. Give {folder.name} a key of its own (--audit-key-file)."
            )
        log.warning(
            "another log has this one's name",
            extra={"log": folder.name, "other": other.parent.name},
        )


def verifiers_of(key_file: Path, signer: NoteSigner) -> list[NoteVerifier]:
    """The public key of a log's key, and those of before that `audit key rotate` left beside it.

    One of them may have signed the checkpoint that is there.

    Raises:
        StartupError: the file of public keys cannot be read.
    """
    public = key_file.with_name(f"{key_file.name}.pub")
    before = read_verifiers(public) if public.exists() else []
    return list(dict.fromkeys([signer.verifier, *before]))


def signing_key(folder: Path, name: str, key_file: Path | None) -> Path:
    """The file of the key that signs a log; where none is named one is made, beside the log.

    Raises:
        StartupError: there is none, and none can be made.
    """
    if key_file is not None:
        return key_file
    path = folder / f"{name}{KEY_SUFFIX}"
    if path.exists():
        return path
    try:
        segments.make_folder(folder)
        # Random, so that no two sites' logs have the same name where a witness has both.
        write_signer(path, NoteSigner.generate(f"intramural/{name}/{secrets.token_hex(4)}"))
    except OSError as error:
        if path.is_file():  # another process was faster
            return path
        raise StartupError(
            f"The key that signs the audit log cannot be made in {folder}: "
            f"{'that is a file' if folder.is_file() else error.strerror or error}."
        ) from None
    log.info("a key for the audit log was made", extra={"file": path.name})
    return path
