"""A model into a bundle: `python -m models bundle`, step by step.

    verify   every file of the model against its manifest, and the rules for models
    room     is there space for what is missing
    write    part by part; a part that is there already is read and compared instead
    commit   the signature, then the index: without its index a bundle is none

Each part is written under another name, synced and renamed. A process that is killed anywhere
leaves whole parts and no index, and the next run goes on with those parts that hold what they
should: nothing counts that was not read again.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from models import disk_space, durable, plain_file, policy
from models.bundle import index as bundle_index
from models.bundle.index import Index, Part, index_name, part_name, seal_name
from models.bundle.stream import CHUNK_BYTES, spans
from models.durable import new_name, put_in_place, write_whole
from models.errors import BundleError, NotIntactError, StoreBusyError
from models.lockfile import Pin
from models.progress import Progress, size
from models.trust import keys, signature_file
from models.trust.manifest import MANIFEST, SIGNATURE, Manifest, read_bytes
from models.trust.manifest_files import FileEntry
from models.trust.verified_cache import Stamps
from models.trust.verify import verify

DEFAULT_SPLIT = 4_000_000_000
FAT32_MAX_BYTES = (4 << 30) - 1
"""The largest file that FAT32 holds, which is what most media come with."""
MARGIN_BYTES = 16 << 20
MAKE_ROOM = (
    "Make room or name another folder, then bundle again: it goes on with the parts that are "
    "there. The parts may be carried on several media."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """A bundle that is whole.

    Attributes:
        num_kept: parts that an earlier run had written.
        key_id: of the signer; None when it is not signed.
    """

    index: Index
    folder: Path
    num_kept: int
    key_id: str | None


@dataclass(slots=True, kw_only=True)
class Bundle:
    """One run.

    Attributes:
        name: of the model in the bundle.
        source: its folder.
        folder: where the bundle goes.
        progress: counts bytes, and takes notices.
        pin: from models.lock, if it has one.
        split: bytes of a part at most.
        private_key: signs the index.
        password: of that key.
        stamps: where it is kept that the files agreed.
    """

    name: str
    source: Path
    folder: Path
    progress: Progress
    pin: Pin | None = None
    split: int = DEFAULT_SPLIT
    private_key: Path | None = None
    password: bytes | None = None
    stamps: Stamps | None = None
    _file_hashes: dict[str, hashlib._Hash] = field(default_factory=dict)

    def run(self) -> Bundled:
        """Write it, or what is missing of it.

        Raises:
            NotIntactError, UnstableFileError: the model is not what its manifest says.
            ManifestError: it has no manifest, or a broken one.
            ModelRefusedError: it holds what no model may.
            SignatureError: the key cannot be used.
            BundleError: the folder holds another bundle of this name, or cannot be written.
            DiskFullError: there is no room.
            StoreBusyError: another process is writing to the folder.
        """
        if self.private_key is not None:  # before the long work, not after it
            keys.private_key_id(self.private_key, self.password)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _held(self.folder):
                return self._make()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_space.disk_full(self.folder, MAKE_ROOM) from None
            raise BundleError(
                f"{error.filename or self.folder}: {error.strerror or error}"
            ) from None

    def _make(self) -> Bundled:
        self._check_old_index()
        files, digest = self._verified()
        num = bundle_index.num_parts(sum(file.size for file in files), self.split)
        if num > bundle_index.MAX_PARTS:
            raise BundleError(
                f"--split {size(self.split)} makes {num:,} parts; at most "
                f"{bundle_index.MAX_PARTS:,} are possible. Give a larger one."
            )
        parts, num_kept = self._write_parts(files, num)
        index = Index(
            model=self.name,
            digest=digest,
            pin=self._pin(digest),
            split=self.split,
            files=files,
            parts=tuple(parts),
        )
        key_id = self._commit(index)
        return Bundled(index=index, folder=self.folder, num_kept=num_kept, key_id=key_id)

    def _check_old_index(self) -> None:
        """Check that an index that is there has the same parts: bundles must not mix."""
        path = self.folder / index_name(self.name)
        if not path.exists():
            return
        raw = plain_file.read(path, bundle_index.MAX_BYTES)
        old = bundle_index.parse(raw, where=str(path))
        if old.digest != Manifest.read(self.source).digest or old.split != self.split:
            raise BundleError(
                f"{self.folder} holds another bundle of {self.name!r} ({old.digest}, parts of "
                f"{size(old.split)}). Name another folder, or remove that one's files first."
            )

    def _verified(self) -> tuple[tuple[FileEntry, ...], str]:
        """The files in the order of the stream, and the digest."""
        policy.check(self.source)
        raw = read_bytes(self.source)
        manifest = Manifest.parse(raw, where=str(self.source / MANIFEST))
        report = verify(
            self.source,
            manifest=manifest,
            expect=self.pin.digest if self.pin is not None else None,
            stamps=self.stamps,
            meter=self.progress,
        )
        report.require_ok()
        own = {MANIFEST: raw}
        with suppress(FileNotFoundError):
            own[SIGNATURE] = plain_file.read(self.source / SIGNATURE, signature_file.MAX_BYTES)
        entries = [
            FileEntry(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for path, data in own.items()
        ]
        return bundle_index.in_order([*entries, *manifest.files]), manifest.digest

    def _write_parts(self, files: tuple[FileEntry, ...], num: int) -> tuple[list[Part], int]:
        total = sum(file.size for file in files)
        paths = [self.folder / part_name(self.name, number) for number in range(1, num + 1)]
        for path in paths:
            new_name(path).unlink(missing_ok=True)  # a half: its bytes are written again
        self._check_room(paths, total)
        # Until this run has read all parts again, there is no bundle here.
        (self.folder / index_name(self.name)).unlink(missing_ok=True)
        self.progress.phase("write", total)
        self._file_hashes = {file.path: hashlib.sha256() for file in files}
        parts, num_kept = [], 0
        for number, path in enumerate(paths):
            begin = number * self.split
            end = min(begin + self.split, total)
            sha256, is_kept = self._write_part(path, files, begin, end)
            parts.append(Part(name=path.name, size=end - begin, sha256=sha256))
            num_kept += is_kept
        for file in files:
            written = self._file_hashes[file.path].hexdigest()
            if written != file.sha256:
                raise NotIntactError(
                    f"{self.source / file.path} changed since it was verified: it was "
                    f"{file.sha256} and is {written}. There is no bundle; try again."
                )
        return parts, num_kept

    def _write_part(
        self, path: Path, files: tuple[FileEntry, ...], begin: int, end: int
    ) -> tuple[str, bool]:
        """One part. Returns its SHA-256, and whether it was there already."""
        is_here = path.is_file() and not path.is_symlink()
        if is_here and path.stat().st_size == end - begin:
            sha256 = self._same(path, self._chunks(files, begin, end))
            if sha256 is not None:
                return sha256, True
            self.progress.notice(f"{path.name} is there and holds other bytes; writing it anew")
            return self._write(path, self._chunks(files, begin, end, is_again=True)), False
        return self._write(path, self._chunks(files, begin, end)), False

    def _same(self, path: Path, chunks: Iterator[bytes]) -> str | None:
        """The SHA-256 of a part that holds just these bytes; None where it does not."""
        whole, is_equal = hashlib.sha256(), True
        with plain_file.opened(path) as here:
            for chunk in chunks:  # to the end in any case: the model's files are hashed on the way
                whole.update(chunk)
                is_equal = is_equal and here.read(len(chunk)) == chunk
        return whole.hexdigest() if is_equal else None

    def _write(self, path: Path, chunks: Iterator[bytes]) -> str:
        """Write a part; it has its name once it is whole and on the disk."""
        whole, new = hashlib.sha256(), new_name(path)
        with new.open("xb", buffering=0) as out:
            for chunk in chunks:
                whole.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[out.write(view) or 0 :]
            durable.sync(out.fileno())
        put_in_place(new, path)
        return whole.hexdigest()

    def _chunks(
        self, files: tuple[FileEntry, ...], begin: int, end: int, *, is_again: bool = False
    ) -> Iterator[bytes]:
        """A stretch of the stream, counted and hashed file by file unless it was before."""
        for span in spans(files, begin, end):
            with plain_file.opened(self.source / span.file.path) as source:
                source.seek(span.begin)
                left = span.size
                while left:
                    chunk = source.read(min(CHUNK_BYTES, left))
                    if not chunk:
                        raise NotIntactError(
                            f"{self.source / span.file.path} became shorter while it was read."
                        )
                    left -= len(chunk)
                    if not is_again:
                        self._file_hashes[span.file.path].update(chunk)
                        self.progress.advance(len(chunk))
                    yield chunk

    def _check_room(self, paths: list[Path], total: int) -> None:
        here = sum(path.stat().st_size for path in paths if path.is_file())
        disk_space.check(self.folder, max(0, total - here), MAKE_ROOM, margin_bytes=MARGIN_BYTES)

    def _commit(self, index: Index) -> str | None:
        self.progress.phase("commit")
        raw, key_id = index.to_json(), None
        seal = self.folder / seal_name(self.name)
        if self.private_key is None:
            seal.unlink(missing_ok=True)  # an older one would be over other bytes
        else:
            signature, key_id = keys.sign_bytes(raw, self.private_key, self.password)
            write_whole(seal, signature)
        bundle_index.parse(raw, where="what was made here")  # the other side reads it so
        write_whole(self.folder / index_name(self.name), raw)
        return key_id

    def _pin(self, digest: str) -> Pin:
        if self.pin is not None:
            return self.pin
        source = Manifest.read(self.source).source
        if source is None:
            return Pin(digest=digest)
        return Pin(digest=digest, repo=source.repo, revision=None, commit=source.revision)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The folder's lock, which the kernel gives back however the process ends.

    Raises:
        StoreBusyError: another process has it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        durable.lock(descriptor, wait=False)
        yield
    except BlockingIOError:
        raise StoreBusyError(
            f"another process is writing to {folder}. Wait for it, or name another folder."
        ) from None
    finally:
        os.close(descriptor)
