"""Memory of a witness: of each log the last checkpoint it cosigned, durable before it says so.

::

    STATE/lock                       held by the one process that cosigns
    STATE/<SHA-256 of the origin>/
        checkpoint                   the last one, with the log's signature and the witness's
        history                      "TIME SIZE ROOT" of checkpoints before, one a minute or fewer
        leaves, peaks                a copy of the entries' hashes (leaf_copy.py), where it is kept
        refused/TIME-SIZE            checkpoints that the log signed and that do not continue this
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from models import durable, plain_file
from serve.errors import StartupError

MAX_NOTE_BYTES: Final = 1 << 17
HISTORY_EVERY_S: Final = 60
MAX_REFUSED: Final = 64
"""Refused checkpoints that are kept of a log; the first are, as they tell when it began."""
_LINE = re.compile(r"([0-9]{1,18}) ([0-9]{1,19}) ([A-Za-z0-9+/]{43}=)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A tree that was cosigned.

    Attributes:
        time_s: Unix seconds of the cosignature.
    """

    time_s: int
    size: int
    root: bytes


class WentBackError(Exception):
    """A record of fewer entries than were cosigned: a defect of ours, and nothing is written."""


class WitnessState:
    """A folder of one witness, and of one process at a time.

    Raises:
        StartupError: another process has it, or it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(f"--state {folder} cannot be used: {error.strerror}.") from None
        try:
            durable.lock(self._lock, wait=False)
        except BlockingIOError:
            self.close()
            raise StartupError(
                f"--state {folder} is in use by another process: a witness is one process."
            ) from None

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def folder_of(self, origin: str) -> Path:
        """The folder of one log, which may not be there yet."""
        return self.folder / origin_hash(origin)

    def checkpoint(self, origin: str) -> bytes | None:
        """The last cosigned checkpoint, with signatures; None before the first.

        Raises:
            OSError: it cannot be read.
        """
        path = self.folder_of(origin) / "checkpoint"
        return plain_file.read(path, MAX_NOTE_BYTES) if path.exists() else None

    def record(self, origin: str, note: bytes, held: Held, *, before: Held | None) -> None:
        """Put a cosigned checkpoint on the disk: when this returns it is there after a power cut.

        Args:
            note: the checkpoint with its signatures.
            before: what is held until now.

        Raises:
            WentBackError: it has fewer entries than what is held, or as many and another root.
            OSError: it could not be written.
        """
        if before is not None and (
            held.size < before.size or (held.size == before.size and held.root != before.root)
        ):
            raise WentBackError(f"{held.size} entries after {before.size}")
        folder = self.folder_of(origin)
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            durable.sync_folder(self.folder)
        if before is None or held.size > before.size:
            self._add_to_history(folder / "history", held)
        durable.write_whole(folder / "checkpoint", note, mode=0o600)

    def history(self, origin: str) -> Iterator[Held]:
        """Trees that were cosigned, oldest first; the last one may be newer than what is listed."""
        path = self.folder_of(origin) / "history"
        if not path.exists():
            return
        with plain_file.opened(path) as file:
            for line in file:
                if found := _held(line):
                    yield found

    def keep_refused(self, origin: str, size: int, note: bytes, time_s: int) -> None:
        """Keep a checkpoint that the log signed and that was refused: it may prove misbehaviour.

        Raises:
            OSError: it could not be written.
        """
        folder = self.folder_of(origin) / "refused"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{time_s}-{size}"
        if not path.exists() and sum(1 for _ in folder.iterdir()) < MAX_REFUSED:
            durable.write_whole(path, note, mode=0o600)

    def _add_to_history(self, path: Path, held: Held) -> None:
        line = f"{held.time_s} {held.size} {base64.b64encode(held.root).decode()}\n"
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            end = os.lseek(descriptor, 0, os.SEEK_END)
            tail = os.pread(descriptor, 256, max(0, end - 256))
            if not tail.endswith(b"\n") and tail:  # torn by a power cut
                end -= len(tail) - (tail.rfind(b"\n") + 1)
                os.ftruncate(descriptor, end)
                tail = tail[: tail.rfind(b"\n") + 1]
            last = _held(tail[:-1].rpartition(b"\n")[2])
            if last is not None and abs(held.time_s - last.time_s) < HISTORY_EVERY_S:
                return
            os.pwrite(descriptor, line.encode(), end)
            durable.sync(descriptor)
        finally:
            os.close(descriptor)


def origin_hash(origin: str) -> str:
    """The name that a log has in paths (tlog-witness, Monitor Retrieval Mechanism)."""
    return hashlib.sha256(origin.encode()).hexdigest()


def _held(line: bytes) -> Held | None:
    match = _LINE.fullmatch(line.decode("ascii", "replace").rstrip("\n"))
    if match is None:
        return None
    return Held(time_s=int(match[1]), size=int(match[2]), root=base64.b64decode(match[3]))
