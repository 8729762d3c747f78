"""The parts of a bundle that have arrived: a staging tree of files, and a journal of the parts.

Each part is written where its bytes belong, into files that have their full size from the
beginning; the system stores no blocks for what is not there yet. Once the bytes of a part are right
and on the disk, its number goes into the journal. The journal saves reading, and proves nothing: a
file that was not hashed as it came is hashed from the disk before the model is put in place.

``<staging>/parts`` holds the journal and the index with its signature, so that the next medium
need not bring them again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from models import durable, plain_file
from models.bundle.index import Index
from models.bundle.media import RawIndex
from models.bundle.stream import Span, spans
from models.durable import write_whole
from models.staging import Staging
from models.trust.manifest_files import FileEntry

MAX_JOURNAL_BYTES = 1 << 20
JOURNAL, KEPT_INDEX, KEPT_SEAL = "import.json", "import.bundle.json", "import.bundle.sig"


@dataclass(slots=True)
class _Running:
    """The hash of a file's first ``num_bytes``."""

    num_bytes: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)

    def copy(self) -> _Running:
        return _Running(self.num_bytes, self.sha256.copy())


class Received:
    """The parts that are in a staging tree. For one process at a time."""

    def __init__(self, staging: Staging, index: Index, raw: RawIndex) -> None:
        """Go on with what is there if it is of this very index; else begin anew.

        Raises:
            OSError: the disk is full, or failed.
        """
        self._tree, self._parts = staging.tree, staging.parts
        self._index, self._raw = index, raw
        self._hashes = {file.path: _Running() for file in index.files}
        self.done = self._journal()
        if not self.done:
            self._clear()
        if raw.signature is not None:
            write_whole(self._parts / KEPT_SEAL, raw.signature)
        write_whole(self._parts / KEPT_INDEX, raw.raw)
        self._save()

    def write(self, number: int, chunks: Iterable[bytes]) -> str:
        """Put a part's bytes in place. Returns their SHA-256; nothing is recorded yet.

        Raises:
            OSError: the chunks' own, or the disk is full or failed.
        """
        whole, view = hashlib.sha256(), memoryview(b"")
        source = iter(chunks)
        for span in self._spans(number):
            with _writable(self._tree / span.file.path) as descriptor:
                at, left = span.begin, span.size
                while left:
                    if not view:
                        view = memoryview(next(source, b""))
                        whole.update(view)
                    if not view:
                        return whole.hexdigest()  # too short, and so of another hash
                    chunk = view[:left]
                    _write_at(descriptor, chunk, at)
                    self._hash(span.file, at, chunk)
                    at, left, view = at + len(chunk), left - len(chunk), view[len(chunk) :]
        return whole.hexdigest()

    def copies_of_hashes(self, number: int) -> dict[str, _Running]:
        """The state of the files that a part touches, to go back to when the part is damaged."""
        return {span.file.path: self._hashes[span.file.path].copy() for span in self._spans(number)}

    def go_back(self, copies: dict[str, _Running]) -> None:
        """Forget what was hashed since."""
        self._hashes |= copies

    def keep(self, number: int) -> None:
        """Record a part that was right, once its bytes are on the disk.

        Raises:
            OSError: the disk is full, or failed.
        """
        for span in self._spans(number):
            with _writable(self._tree / span.file.path) as descriptor:
                durable.sync(descriptor)
        self.done.add(number)
        self._save()

    def drop(self, path: str) -> None:
        """Forget the parts that a file came in: what is on the disk is not what they held.

        Raises:
            OSError: the disk is full, or failed.
        """
        self.done -= {
            number
            for number in range(len(self._index.parts))
            if any(span.file.path == path for span in self._spans(number))
        }
        self._save()

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the files that came from the first byte to the last in this run."""
        sizes = {file.path: file.size for file in self._index.files}
        return {
            path: running.sha256.hexdigest()
            for path, running in self._hashes.items()
            if running.num_bytes == sizes[path]
        }

    def _hash(self, file: FileEntry, at: int, chunk: memoryview) -> None:
        running = self._hashes[file.path]
        if running.num_bytes == at:  # else a part came out of order: it is hashed at the end
            running.sha256.update(chunk)
            running.num_bytes += len(chunk)

    def _spans(self, number: int) -> Iterable[Span]:
        begin = number * self._index.split
        return spans(self._index.files, begin, begin + self._index.parts[number].size)

    def _journal(self) -> set[int]:
        """Numbers of the parts that are here already; none where it is another bundle's tree."""
        try:
            document = json.loads(plain_file.read(self._parts / JOURNAL, MAX_JOURNAL_BYTES))
        except (OSError, ValueError, RecursionError):
            return set()
        match document:
            case {"index": str(index), "done": list(done)}:
                numbers = {n for n in done if type(n) is int and 0 <= n < len(self._index.parts)}
                is_ours = index == hashlib.sha256(self._raw.raw).hexdigest()
                return numbers if is_ours and self._has_all_files() else set()
        return set()

    def _has_all_files(self) -> bool:
        paths = [(self._tree / file.path, file.size) for file in self._index.files]
        return all(
            path.is_file() and not path.is_symlink() and path.stat().st_size == size
            for path, size in paths
        )

    def _clear(self) -> None:
        for folder in (self._tree, self._parts):
            shutil.rmtree(folder)
            folder.mkdir()
        for file in self._index.files:
            path = self._tree / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as new:
                new.truncate(file.size)

    def _save(self) -> None:
        document = {
            "index": hashlib.sha256(self._raw.raw).hexdigest(),
            "done": sorted(self.done),
        }
        write_whole(self._parts / JOURNAL, json.dumps(document).encode())


def _write_at(descriptor: int, data: memoryview, at: int) -> None:
    """Write all of it: a single write may take less, and does not say so when a disk fills."""
    while data:
        written = os.pwrite(descriptor, data, at)
        at, data = at + written, data[written:]


@contextmanager
def _writable(path: Path) -> Iterator[int]:
    """A file of the tree, which is there and is no link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
