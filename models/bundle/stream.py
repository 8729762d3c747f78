"""The stream of a bundle: which bytes of which files a stretch of it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from models.bundle.index import with_offsets
from models.trust.manifest_files import FileEntry

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """``size`` bytes of a file, from its byte ``begin``."""

    file: FileEntry
    begin: int
    size: int


def spans(files: Iterable[FileEntry], begin: int, end: int) -> Iterator[Span]:
    """The stretch [begin, end) of the stream. Empty files have no bytes, so they are in none."""
    for offset, file in with_offsets(files):
        first, last = max(begin, offset), min(end, offset + file.size)
        if first < last:
            yield Span(file, first - offset, last - first)
