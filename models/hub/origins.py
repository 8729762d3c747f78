"""Origins of models, as a pull sees them. The Hub is in fetch.py; a folder is here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from models import plain_file
from models.errors import ManifestMissingError, OriginError, UnstableFileError
from models.refs import ModelRef
from models.trust import signature_file
from models.trust.manifest import MANIFEST, SIGNATURE, Manifest
from models.trust.manifest_files import plain_files

CHUNK_BYTES = 1 << 20
KEPT = frozenset({MANIFEST, SIGNATURE})
"""Written by us, so never taken as a model's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginFile:
    """One file that an origin offers.

    Attributes:
        path: relative, with ``/``.
        size: bytes.
        sha256: what the origin says; the Hub says it of files in Git LFS.
        git_blob: what the Hub says of all others: git's SHA-1 of "blob SIZE NUL content".
        sha1: a SHA-1 of which the origin does not say whether it is git's, or the content's own.
        version: tells contents apart where neither is known.
    """

    path: str
    size: int
    sha256: str | None = None
    git_blob: str | None = None
    sha1: str | None = None
    version: str = ""

    @property
    def key(self) -> str:
        """A file name for the half that arrived: equal for equal contents at equal paths only."""
        identity = (self.path, self.size, self.sha256, self.git_blob or self.sha1, self.version)
        return hashlib.sha256(repr(identity).encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All files of one commit, or of a folder.

    Attributes:
        files: by path.
        ref: with the commit; None for a folder that does not say where it is from.
        licence: its short name, where the origin says.
        manifest: the origin's own, to be kept with its signature.
        signature: model.sig.
    """

    files: tuple[OriginFile, ...]
    ref: ModelRef | None = None
    licence: str | None = None
    manifest: Manifest | None = None
    signature: bytes | None = None


class Origin(Protocol):
    """Gives listings and bytes."""

    def listing(self, ref: ModelRef | None) -> Listing:
        """The files that are offered.

        Raises:
            OriginError: nothing, or it is not for us; TransientOriginError: not now.
        """

    def open(
        self, ref: ModelRef | None, file: OriginFile, offset: int
    ) -> AbstractContextManager[tuple[int, Iterator[bytes]]]:
        """One file's bytes.

        Args:
            ref: the listing's.
            file: of the listing.
            offset: how many bytes of it are here already.

        Returns:
            Where the bytes begin (``offset``, or 0 where the origin cannot begin in between), and
            the bytes.

        Raises:
            OriginError, TransientOriginError: as above, also while bytes are read.
        """

    def parties(self, file: OriginFile) -> tuple[str, str]:
        """The two who said what the file is, and who sent its bytes, for messages."""


class FolderOrigin:
    """A folder on this machine: a disk that was carried here, or a share.

    With a manifest, its files are taken as that says, and manifest and signature are kept. Links
    are not followed: they could lead anywhere on this machine.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def listing(self, ref: ModelRef | None) -> Listing:
        """The folder's files. ``ref`` is not looked at: a folder is what it is.

        Raises:
            OriginError: it cannot be read.
            ManifestError: it has links in it, or its manifest is wrong.
        """
        del ref
        try:
            manifest = Manifest.read(self.folder)
        except ManifestMissingError:
            manifest = None
        try:
            if manifest is not None:
                signature = self.folder / SIGNATURE
                return Listing(
                    files=tuple(
                        OriginFile(path=file.path, size=file.size, sha256=file.sha256)
                        for file in manifest.files
                    ),
                    ref=manifest.source,
                    licence=manifest.licence,
                    manifest=manifest,
                    signature=plain_file.read(signature, signature_file.MAX_BYTES)
                    if os.path.lexists(signature)
                    else None,
                )
            return Listing(files=tuple(self._offer(path) for path, _ in plain_files(self.folder)))
        except OSError as error:
            raise self._unreadable(error) from None

    @contextmanager
    def open(
        self, ref: ModelRef | None, file: OriginFile, offset: int
    ) -> Iterator[tuple[int, Iterator[bytes]]]:
        """See Origin.

        Raises:
            OriginError: it cannot be read.
            UnstableFileError: it was written to meanwhile, so the copy may be of two versions.
        """
        del ref
        with ExitStack() as stack:
            try:
                source = stack.enter_context(plain_file.opened(self.folder / file.path))
            except OSError as error:
                raise self._unreadable(error) from None
            source.seek(offset)
            yield offset, self._chunks(source)
        if file.version and self._offer(file.path) != file:
            raise UnstableFileError(
                f"{self.folder / file.path} was written to while it was copied; pull again."
            )

    def parties(self, file: OriginFile) -> tuple[str, str]:
        """See Origin: the folder both says and gives."""
        del file
        return self.folder.name, self.folder.name

    def _chunks(self, source: BinaryIO) -> Iterator[bytes]:
        try:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk
        except OSError as error:
            raise self._unreadable(error) from None

    def _offer(self, path: str) -> OriginFile:
        status = (self.folder / path).stat()
        return OriginFile(path=path, size=status.st_size, version=str(status.st_mtime_ns))

    def _unreadable(self, error: OSError) -> OriginError:
        return OriginError(
            f"{error.filename or self.folder} cannot be read: {error.strerror or error}."
        )
