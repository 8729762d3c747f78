"""Saved prefixes: the hottest blocks of one run, written at its end, for the beginning of the next.

::

    DIR/                  this user's own, 0700
        store.key         see store_secret.py
        IDENTITY.kv       blocks of one identity (identity.py), as sealed_file.py has it

A file is there whole or not at all, and the last server that ended wins. What cannot be used is
told in the log and passed over: the cache begins empty then, as without this.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from models import durable
from serve import timeline
from serve.engine.transformers.block_pool import BlockPool
from serve.engine.transformers.kv_cache import BLOCK_SIZE, KVCache
from serve.engine.transformers.prefix_store import private_files, sealed_file
from serve.engine.transformers.prefix_store.block_bytes import BlockBytes
from serve.engine.transformers.prefix_store.sealed_file import (
    HEAD_BYTES,
    BlockHead,
    SealedReader,
    SealedWriter,
    UnusableFileError,
)
from serve.engine.transformers.prefix_store.store_secret import StoreSecret

MOST_SAVE_S = 5.0
"""After so long no further block is begun: a server has to end while whoever stops it waits."""
MOST_FILES = 4
"""Files of identities that are kept, those used last."""
_SYNC_BYTES = 64 << 20
"""As many bytes are on the disk before more are written, or the time would be that of memory."""
_STALE_S = 3600.0
_NAME = re.compile(r"[0-9a-f]{64}\.kv")
_STAGED = ".saving-"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixStore:
    """One identity's file.

    Attributes:
        folder: of the files; private, as ``open_secret`` leaves it.
        secret: that they are under.
        identity: 32 bytes.
        max_bytes: of the file.
        clock: monotonic seconds.
    """

    folder: Path
    secret: StoreSecret
    identity: bytes
    max_bytes: int
    clock: Callable[[], float] = timeline.now

    @property
    def path(self) -> Path:
        return self.folder / f"{self.identity.hex()}.kv"

    def load(self, pool: BlockPool, cache: KVCache) -> int:
        """Fill an empty cache with what was saved, as much of it as there is room for.

        The hottest are used last: they are given up last. On a fault the pool is left empty.

        Returns:
            Tokens whose keys and values are there now.
        """
        begun_at = self.clock()
        try:
            with private_files.opened(self.path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > self.max_bytes:
                    raise UnusableFileError("is larger than --prefix-cache-file-bytes")
                _fill(pool, cache, self._reader(file, size, cache))
                os.utime(file.fileno())  # used, and so kept
        except FileNotFoundError:
            log.info("no prefix cache was saved", extra={"file": self.path.name})
        except UnusableFileError as error:
            self._begin_empty(pool, str(error))
        except OSError as error:
            self._begin_empty(pool, error.strerror or str(error))
        else:
            log.info(
                "prefix cache loaded",
                extra={
                    "tokens": pool.num_kept * BLOCK_SIZE,
                    "bytes": size,
                    "seconds": round(self.clock() - begun_at, 2),
                },
            )
        return pool.num_kept * BLOCK_SIZE

    def save(self, pool: BlockPool, cache: KVCache) -> None:
        """Write the hottest blocks, within the bounds of bytes and time, and forget old files.

        Nothing else may use pool and cache meanwhile. Where it cannot be done the log says why, and
        what was saved before stays.
        """
        if not pool.num_kept:
            return
        begun_at = self.clock()
        try:
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=_STAGED)  # mode 0600
            staged = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    num_blocks = self._write(file, pool, cache, until=begun_at + MOST_SAVE_S)
                    file.flush()
                    durable.sync(file.fileno())
                    size = file.tell()
                if num_blocks:
                    durable.put_in_place(staged, self.path)
            finally:
                staged.unlink(missing_ok=True)
            self._forget_old()
        except OSError as error:
            reason = error.strerror or str(error)
            log.warning("the prefix cache was not saved", extra={"reason": reason})
            return
        log.info(
            "prefix cache saved",
            extra={
                "tokens": num_blocks * BLOCK_SIZE,
                "of_tokens": pool.num_kept * BLOCK_SIZE,
                "bytes": size,
                "seconds": round(self.clock() - begun_at, 2),
            },
        )

    def _write(self, file: BinaryIO, pool: BlockPool, cache: KVCache, *, until: float) -> int:
        """Write a whole file; returns the number of its blocks."""
        block_bytes = BlockBytes.num_bytes(cache)
        writer = SealedWriter(file, self.secret, identity=self.identity, block_bytes=block_bytes)
        blocks = BlockBytes(cache, writer.record, HEAD_BYTES)
        numbers: dict[bytes, int] = {}
        num_unsynced = 0
        most = sealed_file.most_blocks(self.max_bytes, block_bytes)
        for kept in pool.hottest_first()[:most]:
            if self.clock() >= until:
                break
            blocks.copy_out(kept.block_id)
            parent = None if kept.parent is None else numbers[kept.parent]
            writer.put(BlockHead(kept.key, parent, kept.num_uses, kept.is_exact))
            numbers[kept.key] = len(numbers)
            num_unsynced += len(writer.record)
            if num_unsynced >= _SYNC_BYTES:
                file.flush()
                durable.sync(file.fileno())
                num_unsynced = 0
        writer.finish()
        return len(numbers)

    def _reader(self, file: BinaryIO, size: int, cache: KVCache) -> SealedReader:
        num_bytes = BlockBytes.num_bytes(cache)
        return SealedReader(file, size, self.secret, identity=self.identity, block_bytes=num_bytes)

    def _begin_empty(self, pool: BlockPool, reason: str) -> None:
        pool.reset()
        log.warning(
            "the saved prefix cache is not used", extra={"file": self.path.name, "reason": reason}
        )

    def _forget_old(self) -> None:
        """Remove files of identities that were used long ago, and what killed writers left."""
        files = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
        for path in sorted(files, key=_modified_at, reverse=True)[MOST_FILES:]:
            path.unlink(missing_ok=True)
        newest = _modified_at(self.path)
        for path in self.folder.glob(f"{_STAGED}*"):
            if newest - _modified_at(path) > _STALE_S:
                path.unlink(missing_ok=True)


def _fill(pool: BlockPool, cache: KVCache, reader: SealedReader) -> None:
    """Read as many blocks as the pool has room for, the first ones. Raises UnusableFileError."""
    block_ids = pool.take(min(reader.num_blocks, pool.num_blocks)) or []
    blocks = BlockBytes(cache, reader.record, HEAD_BYTES)
    keys: list[bytes] = []
    for block_id in block_ids:
        head = reader.next()
        blocks.copy_in(block_id)
        parent = None if head.parent is None else keys[head.parent]
        # Half as hot as it was: what is not asked for any more makes room in time.
        pool.keep(
            block_id,
            head.key,
            is_exact=head.is_exact,
            parent=parent,
            num_uses=head.num_uses // 2,
        )
        keys.append(head.key)
    pool.release(block_ids)


def _modified_at(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # another server has removed it
        return 0.0
