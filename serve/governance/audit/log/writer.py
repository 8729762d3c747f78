"""The audit log's writer: durable on return, verifiable by anyone a second later.

::

    FOLDER/checkpoint              what the log says of itself, signed
    FOLDER/tile/...                hash tiles and entry bundles (c2sp.org/tlog-tiles)
    FOLDER/journal/N.journal       entries that are not all in full bundles yet
    FOLDER/quarantine/             what a crash tore off the journal's end
    FOLDER/lock                    held by the one process that writes
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from serve.governance.audit.log import segments
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.folder_lock import locked
from serve.governance.audit.log.journal import SEGMENT_BYTES, Journal
from serve.governance.audit.log.publishing import Publisher
from serve.governance.audit.log.publishing_thread import PublishingThread
from serve.governance.audit.log.restoring import entries_behind, signed_tree
from serve.governance.audit.log.segments import Recovery
from serve.governance.audit.log.tile_files import TileFiles
from serve.governance.audit.tlog.frontier import Frontier
from serve.governance.audit.tlog.keys import NoteSigner, NoteVerifier
from serve.governance.audit.tlog.tiles import MAX_ENTRY_BYTES, WIDTH

PUBLISH_EVERY_S = 1.0
PUBLISH_AT = WIDTH
JOURNAL, QUARANTINE = "journal", "quarantine"


class AuditLog:
    """The one writer of a log's folder; `open` makes it.

    Attributes:
        origin: of the log.
        recovery: what opening it found; a torn tail that was cut is told there.
    """

    def __init__(self, folder: Path, origin: str, signer: NoteSigner, lock: int) -> None:
        self.folder, self.origin = folder, origin
        self._signer, self._lock = signer, lock
        self._files = TileFiles(folder)
        self._journal: Journal
        self._publishing: PublishingThread
        self._is_closed = False

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        origin: str,
        signer: NoteSigner,
        old_keys: Sequence[NoteVerifier] = (),
        publish_every_s: float = PUBLISH_EVERY_S,
        publish_at: int = PUBLISH_AT,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> AuditLog:
        """Open a log for writing, or make it.

        Args:
            folder: of the log; made where it is not there.
            origin: the log's identity, as each checkpoint says it.
            signer: its key, whose name is the origin.
            old_keys: that may have signed the checkpoint that is there, before a change of keys.
            publish_every_s: how long an entry waits for its tile and checkpoint.
            publish_at: entries after which they do not wait so long.
            segment_bytes: size from which on the journal begins a new file.

        Raises:
            LogInUse: another process writes it.
            LogDamaged: it holds less than it acknowledged, or something else.
            ValueError: the key's name is not the origin.
            OSError: it cannot be read or written.
        """
        if signer.name != origin:
            raise ValueError(
                f"the key is named {signer.name}, and the log {origin}: name them alike"
            )
        segments.make_folder(folder)
        log = cls(folder, origin, signer, locked(folder))
        with ExitStack() as undo:
            undo.callback(os.close, log._lock)
            log._open(old_keys, publish_every_s, publish_at, segment_bytes)
            undo.pop_all()
        return log

    def _open(
        self, old_keys: Sequence[NoteVerifier], every_s: float, num_at_once: int, segment_bytes: int
    ) -> None:
        tree = signed_tree(self._files, [self._signer.verifier, *old_keys], self.origin)
        if tree is None:
            tree = self._begun()
        rest, waiting = entries_behind(self.folder / JOURNAL, tree)
        self._journal = Journal.open(
            self.folder / JOURNAL,
            max_payload_bytes=MAX_ENTRY_BYTES,
            segment_bytes=segment_bytes,
            on_durable=lambda _, entries: self._publishing.add(entries),
        )
        self._publishing = PublishingThread(
            Publisher(self._files, self.origin, self._signer, tree, rest),
            waiting,
            every_s=every_s,
            num_at_once=num_at_once,
            on_published=self._drop,
        )

    @property
    def recovery(self) -> Recovery:
        return self._journal.recovery

    @property
    def size(self) -> int:
        """The number of durable entries."""
        return self._journal.size

    @property
    def published_size(self) -> int:
        """The number of entries under the last checkpoint."""
        return self._publishing.published_size

    @property
    def failure(self) -> str:
        """The reason why entries or tiles cannot be written at present; "" where they can."""
        return self._journal.failure or self._publishing.failure

    async def append(self, entries: Sequence[bytes]) -> int:
        """Bring entries to the disk, next to each other. Returns the index of the first.

        Args:
            entries: at least one, each of at most 65,535 bytes.

        Raises:
            LogUnavailable: they are not on the disk, and do not count; also when it is closed.
            ValueError: one is too long, or there is none.
        """
        self._publishing.check()
        return await self._journal.append(entries)

    async def close(self) -> None:
        """Publish all, and let go of the folder; once."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._journal.close()
        await asyncio.to_thread(self._publishing.close)
        os.close(self._lock)

    def _begun(self) -> Frontier:
        """A new log's empty tree, with its checkpoint: if that is ever missing, it is damage."""
        if (self.folder / JOURNAL).exists() or (self.folder / "tile").exists():
            raise LogDamaged(f"{self.folder} is a log, but its checkpoint is missing", 0)
        tree = Frontier()
        Publisher(self._files, self.origin, self._signer, tree, ()).sign(tree)
        return tree

    def _drop(self, size: int) -> None:
        self._journal.drop_before(size - size % WIDTH)
