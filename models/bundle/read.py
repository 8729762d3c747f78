"""A bundle into the store: `python -m models import`, step by step.

    trust    the index's signature, before anything in the index is used
    index    sizes, offsets and names must fit together; names that no model may hold are refused
    room     is there space for the parts that are not here yet
    read     each part is hashed while its bytes go into the staging tree (import_journal.py)
    check    the hash of every file, the manifest, the rules for models, completeness
    commit   the pin, and one rename (models/staging.py)

Parts may come from several media, in any order, over several calls. A process that is killed
anywhere leaves either the whole model or none, and the next call goes on with the parts that were
on the disk.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from models import disk_space, staging, store
from models.bundle import index as bundle_index
from models.bundle import seal
from models.bundle.import_journal import KEPT_INDEX, Received
from models.bundle.index import Index, Part
from models.bundle.media import Media, MediumError, RawIndex, Reading, read_index, size_of
from models.bundle.seal import Seal
from models.errors import (
    BundleError,
    HashMismatchError,
    ManifestError,
    ModelRefusedError,
    PartsMissingError,
)
from models.lockfile import LockFile, Pin
from models.progress import Progress, size
from models.rules.content import OWN_NAMES
from models.staging import Staging, staged
from models.trust.hashing import sha256_files
from models.trust.manifest import Manifest
from models.trust.verified_cache import Stamps
from models.trust.verify import verify

MAKE_ROOM = (
    "Make room (`python -m models du`, `rm`, `gc`) or set --data-dir to another disk, then import "
    "again: it goes on with what is there."
)
MAX_SHOWN = 20


class Outcome(StrEnum):
    """The result of an import."""

    IMPORTED = "imported"
    PRESENT = "present"  # these very bytes were here, and were hashed to see that they still are


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The model as it is here now.

    Attributes:
        seal: the signer of the index; None when no signature was asked for.
    """

    outcome: Outcome
    name: str
    path: Path
    index: Index
    seal: Seal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One call.

    Attributes:
        media: where parts may be.
        data_dir: holds the store and models.lock.
        progress: counts bytes, and takes notices.
        trust: trusted keys; None to accept any index that does not contradict itself.
        name: in the store; None for the bundle's own.
        update: whether another model of that name may be replaced, and its pin be moved.
    """

    media: Media
    data_dir: Path
    progress: Progress
    trust: Path | None = None
    name: str | None = None
    update: bool = False

    def run(self) -> Imported:
        """Do as much as these media allow.

        Raises:
            SignatureError: the index is not signed by a trusted key.
            BundleError: it is none or contradicts itself, or another model is in its place.
            PartsMissingError: parts are missing or damaged; the others are kept.
            HashMismatchError: models.lock pins other bytes, or the staging tree was damaged.
            ModelRefusedError: the model is not allowed; it was thrown away.
            ModelNotFoundError: the name is no plain name, or the model is not whole.
            DiskFullError, StoreBusyError, LockFileError: as they say.
        """
        models = store.DirectoryStore(self.data_dir)
        try:
            raw, name = self._find(models)
            signed = None
            if self.trust is not None:
                signed = seal.check(raw.raw, raw.signature, self.trust, where=raw.where)
            index = bundle_index.parse(raw.raw, where=raw.where)
            name = self.name or name or index.model
            path = models.path_of(name)
            if name == store.DEMO:
                raise BundleError(f"{name!r} is the built-in model's name; give another: --name.")
            with staged(models.root, name) as place:
                if self._is_here(path, name, index):
                    place.discard()
                    outcome = Outcome.PRESENT
                else:
                    self._take(place, name, index, raw)
                    outcome = Outcome.IMPORTED
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_space.disk_full(models.root, MAKE_ROOM) from None
            raise BundleError(
                f"{error.filename or models.root}: {error.strerror or error}"
            ) from None
        return Imported(outcome=outcome, name=name, path=path.resolve(), index=index, seal=signed)

    def _find(self, models: store.DirectoryStore) -> tuple[RawIndex, str | None]:
        """The index: of the media, or of an import that waits for these media."""
        if self.media.index is not None:
            return self.media.index, None
        waiting = [name for name in staging.names(models.root) if self.name in (None, name)]
        for name in waiting:
            kept = models.root / staging.STAGING / name / "parts" / KEPT_INDEX
            with suppress(BundleError):
                raw = read_index(kept)
                parts = bundle_index.parse(raw.raw, where=str(kept)).parts
                if any(self.media.copies(part.name) for part in parts):
                    return raw, name
        places = ", ".join(str(folder) for folder in self.media.folders)
        raise BundleError(
            f"there is no index (NAME.bundle.json) in {places}, and no import has begun that waits "
            "for a part in there. Begin with the medium that has the index."
        )

    def _is_here(self, path: Path, name: str, index: Index) -> bool:
        """Whether there is nothing to do.

        Raises:
            BundleError, HashMismatchError: something else is here or pinned.
        """
        pin = LockFile(self.data_dir).get(name)
        if pin is not None and pin.digest != index.digest and not self.update:
            raise HashMismatchError(
                f"{name!r} is {pin.digest} in models.lock, and the bundle holds {index.digest}. "
                "`--update` takes the bundle's and pins it; `--name` puts it beside the other."
            )
        if not path.is_dir():
            return False
        manifest = Manifest.find(path)
        if manifest is None or manifest.digest != index.digest:
            if pin is None and not self.update:
                raise BundleError(
                    f"another model is at {path}. `--update` replaces it; `--name` puts the "
                    "bundle's beside it."
                )
            return False
        stamps = Stamps(self.data_dir)
        report = verify(path, manifest=manifest, stamps=stamps, meter=self.progress)
        if not report.is_ok:
            self.progress.notice(f"{path} is damaged; it is replaced by the bundle's")
            return False
        if pin is None or pin.digest != index.digest:
            LockFile(self.data_dir).put(name, index.pin)
        return True

    def _take(self, place: Staging, name: str, index: Index, raw: RawIndex) -> None:
        received = Received(place, index, raw)
        done_bytes = sum(index.parts[number].size for number in received.done)
        disk_space.check(place.folder, index.size - done_bytes, MAKE_ROOM)
        if received.done:
            self.progress.notice(
                f"going on with {len(received.done)} of {len(index.parts)} parts that are here"
            )
        self.progress.phase("read", index.size, done_bytes=done_bytes)
        faults = []
        for number, part in enumerate(index.parts):
            if number not in received.done:
                faults += self._read(received, number, part)
        missing = [part for number, part in enumerate(index.parts) if number not in received.done]
        if missing:
            raise self._incomplete(index, missing, faults)
        try:
            pin = self._check(place, name, index, received)
        except ModelRefusedError:
            place.discard()
            raise
        self.progress.phase("commit")
        # The pin first: killed between the two, the next import sees that this is not yet here.
        LockFile(self.data_dir).put(name, pin)
        place.commit()

    def _read(self, received: Received, number: int, part: Part) -> list[str]:
        """One part from the first medium that has it right. Returns what was wrong with others."""
        faults: list[str] = []
        for path in self.media.copies(part.name):
            fault = self._read_copy(received, number, part, path)
            if fault is None:
                return []
            self.progress.notice(fault)
            faults.append(fault)
        return faults

    def _read_copy(self, received: Received, number: int, part: Part, path: Path) -> str | None:
        """The fault of this copy; None when it is right, and kept."""
        before, reading = (
            received.copies_of_hashes(number),
            Reading(path, part.size, self.progress),
        )
        try:
            found_size = size_of(path)
            if found_size != part.size:
                return f"{path} is damaged: it has {found_size:,} bytes, not {part.size:,}"
            sha256 = received.write(number, reading)
        except MediumError as error:
            fault = f"{path} cannot be read after {reading.num_bytes:,} bytes: {error}"
        else:
            if sha256 == part.sha256:
                received.keep(number)
                return None
            fault = f"{path} is damaged: its SHA-256 is {sha256}, and should be {part.sha256}"
        received.go_back(before)
        self.progress.advance(-reading.num_bytes)
        return fault

    def _check(self, place: Staging, name: str, index: Index, received: Received) -> Pin:
        """Check the whole tree before it becomes a model, and return its pin.

        Raises:
            HashMismatchError: a file is not what the index says; its parts are read anew.
            BundleError: index and manifest contradict each other. All was thrown away.
            ModelRefusedError, ModelNotFoundError: it is not allowed, or not whole.
        """
        hashes = received.hashes()
        unread = [file for file in index.files if file.path not in hashes]
        self.progress.phase("check", sum(file.size for file in unread))
        paths = [place.tree / file.path for file in unread]
        unread_hashes = sha256_files(paths, self.progress.advance)
        hashes |= {file.path: sha256 for file, sha256 in zip(unread, unread_hashes, strict=True)}
        for file in index.files:
            if hashes[file.path] != file.sha256:
                received.drop(file.path)
                raise HashMismatchError(
                    f"{file.path} was read and is not what the index says: {hashes[file.path]}, "
                    f"not {file.sha256}. Import again: its parts are read anew. If that ends here "
                    "as well, the bundle contradicts itself, or this machine's disk is failing."
                )
        try:
            manifest = Manifest.read(place.tree)
        except ManifestError as error:
            place.discard()
            raise BundleError(f"the bundle's model has a broken manifest: {error}") from None
        listed = {file for file in index.files if file.path not in OWN_NAMES}
        if set(manifest.files) != listed or not _agree(manifest, index.pin):
            place.discard()
            raise BundleError(
                "the bundle contradicts itself: its index and its model's manifest differ in the "
                "files, or in the commit that they are from. It was thrown away."
            )
        store.load_folder(place.tree, name=name)
        return replace(index.pin, digest=manifest.digest)

    def _incomplete(self, index: Index, missing: list[Part], faults: list[str]) -> BundleError:
        damaged = {part.name for part in missing if self.media.copies(part.name)}
        absent = [part.name for part in missing if part.name not in damaged]
        lines = [f"  {fault}" for fault in faults]
        if absent:
            more = f" and {len(absent) - MAX_SHOWN} more" if len(absent) > MAX_SHOWN else ""
            lines.append(f"  not found: {', '.join(absent[:MAX_SHOWN])}{more}")
        return PartsMissingError(
            f"{len(missing)} of {len(index.parts)} parts of {index.model!r} are missing "
            f"({size(sum(part.size for part in missing))}):\n" + "\n".join(lines) + "\n"
            "What was read is kept. Import again with the medium that has them."
        )


def _agree(manifest: Manifest, pin: Pin) -> bool:
    """Whether both name the same commit, where the manifest names one."""
    source = manifest.source
    return source is None or (source.repo, source.revision) == (pin.repo, pin.commit)
