"""A model from an origin into the store: `python -m models pull`, step by step.

    resolve   the origin's listing, at a commit; the pin in models.lock where there is one
    select    the files that models/policy.py allows, once (models/hub/selection.py)
    room      is there space for what is missing
    look      small files first; the policy looks at them before gigabytes of weights follow
              (staged_files.py)
    fetch     the rest, in parallel, checked against the origin's own hashes (transfer.py)
    check     the policy and completeness, of the whole folder
    commit    manifest, everything to the disk, one rename (models/staging.py), the pin

A process that is killed anywhere leaves either the whole model or none, and the next pull goes on
with what arrived.
"""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from models import disk_space, store
from models.durable import write_whole
from models.errors import (
    HashMismatchError,
    ModelRefusedError,
    OriginError,
    TransientOriginError,
)
from models.hub import staged_files
from models.hub.origins import Listing, Origin
from models.hub.selection import Selection, select
from models.hub.transfer import MAKE_ROOM, NUM_PARALLEL, Transfer
from models.lockfile import LockFile, Pin
from models.progress import Progress
from models.refs import ModelRef
from models.staging import Staging
from models.trust.manifest import MANIFEST, SIGNATURE, Manifest

LISTING_TRIES = 4


class Outcome(StrEnum):
    """The result of a pull."""

    PULLED = "pulled"
    PRESENT = "present"  # it is here, and the origin has nothing newer
    MOVED = "moved"  # it is here; the branch has moved on and --update was not given
    UNASKED = "unasked"  # it is here, and the origin did not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """The model as it is here now.

    Attributes:
        digest: of its manifest; None for a folder without one.
        ref: the repository at the commit that is here; None where that is not known.
    """

    outcome: Outcome
    name: str
    path: Path
    digest: str | None
    ref: ModelRef | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One pull.

    Attributes:
        name: in the store.
        ref: the repository and revision that are wanted; None when the origin is a folder.
        origin: where from.
        where: what messages call the origin.
        data_dir: holds the store and models.lock.
        progress: counts bytes, and takes notices.
        update: whether a model that is here may be replaced, and a pin be moved.
        is_exact: whether the user named the revision; a pin of another one does not count then.
        num_parallel: files at a time.
    """

    name: str
    ref: ModelRef | None
    origin: Origin
    where: str
    data_dir: Path
    progress: Progress
    update: bool = False
    is_exact: bool = False
    num_parallel: int = NUM_PARALLEL

    def run(self) -> Pulled:
        """Do it, or find that there is nothing to do.

        Raises:
            OriginError, HashMismatchError, DiskFullError, StoreBusyError: nothing has changed but
                what is staged; the message says what to do.
            ModelRefusedError: what arrived is not allowed; it was thrown away.
            ModelNotFoundError: the origin's model is not whole, or what is here is not.
            LockFileError: models.lock is damaged.
        """
        models = store.DirectoryStore(self.data_dir)
        pin = LockFile(self.data_dir).get(self.name)
        try:
            if self._is_settled(models, pin):
                return self._compare(models, pin)
            with models.stage(self.name) as staging:
                if self._is_settled(models, pin):  # another process made it meanwhile
                    return self._compare(models, pin)
                return self._fill(staging, pin)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_space.disk_full(models.root, MAKE_ROOM) from None
            raise OriginError(
                f"{error.filename or models.root}: {error.strerror or error}"
            ) from None

    def _is_settled(self, models: store.DirectoryStore, pin: Pin | None) -> bool:
        """Whether the model is here and is to stay."""
        path = models.path_of(self.name)
        if self.update or not path.is_dir():
            return False
        manifest = Manifest.find(path)
        if manifest is None:
            return True
        lacks = [file.path for file in manifest.files if _size(path / file.path) != file.size]
        if pin is not None and pin.digest != manifest.digest:
            why = f"{path} is not what models.lock pins ({pin.digest}); fetching that"
        elif lacks:
            why = f"{path} is damaged ({', '.join(lacks[:6])}); fetching it anew"
        else:
            return True
        self.progress.notice(why)
        return False

    def _compare(self, models: store.DirectoryStore, pin: Pin | None) -> Pulled:
        """The model is here: has its branch moved?"""
        artifact = models.find(self.name)
        manifest = Manifest.find(artifact.path)
        here = manifest.source if manifest else None
        outcome = Outcome.PRESENT
        if manifest is not None and pin is None:  # it was brought here without its models.lock
            LockFile(self.data_dir).put(self.name, self._pin(manifest))
        if here is None:
            message = (
                f"{self.name!r} is here ({artifact.path}), and nothing says which commit it is. "
                "`--update` replaces it."
            )
            if self.is_exact:
                raise OriginError(message)
            self.progress.notice(message)
        elif self.ref is not None:
            outcome = self._newer(self.ref, here)
        digest = manifest.digest if manifest else None
        return Pulled(outcome=outcome, name=self.name, path=artifact.path, digest=digest, ref=here)

    def _newer(self, wanted: ModelRef, here: ModelRef) -> Outcome:
        """Compare with the origin. A revision that the user named must be the one that is here."""
        if wanted == here:
            return Outcome.PRESENT
        self.progress.phase("resolve")
        try:
            newest = self.origin.listing(wanted).ref
        except OriginError as error:
            if self.is_exact:
                raise
            self.progress.notice(
                f"{here} is here; whether there is a newer one is not known: {error}"
            )
            return Outcome.UNASKED
        if newest == here:
            return Outcome.PRESENT
        message = (
            f"{wanted} is {newest.revision[:12] if newest else '?'} now, and {self.name!r} here is "
            f"{here.repo} at {here.revision[:12]}, pinned in models.lock. `--update` replaces it."
        )
        if self.is_exact:
            raise OriginError(message)
        self.progress.notice(message)
        return Outcome.MOVED

    def _fill(self, staging: Staging, pin: Pin | None) -> Pulled:
        self.progress.phase("resolve")
        listing = self._listing(pin)
        selection = select(listing, where=self.where)
        if selection.skipped:
            self.progress.notice(
                f"left out {len(selection.skipped)} files: " + "; ".join(selection.skipped[:6])
            )
        try:
            hashes = self._bring(staging, listing, selection)
            manifest = self._finish(staging, listing, hashes, pin)
        except ModelRefusedError:
            staging.discard()
            raise
        self.progress.phase("commit")
        # The pin first: killed between the two, the next pull sees that this is not yet here.
        LockFile(self.data_dir).put(self.name, self._pin(manifest))
        path = staging.commit()
        return Pulled(
            outcome=Outcome.PULLED,
            name=self.name,
            path=path,
            digest=manifest.digest,
            ref=manifest.source,
        )

    def _listing(self, pin: Pin | None) -> Listing:
        """The origin's files, at the pinned commit if there is a pin that counts."""
        ref = self.ref
        if ref is not None and pin is not None and pin.repo and pin.commit and not self.update:
            if pin.repo != ref.repo:
                raise OriginError(
                    f"models.lock pins {self.name!r} to {pin.repo}, and this is {ref.repo}. Give "
                    "it another --name, or --update to pin it anew."
                )
            if not self.is_exact:
                ref = ModelRef(repo=ref.repo, revision=pin.commit)
                self.progress.notice(f"models.lock pins {ref}; `--update` takes {self.ref}.")
        for num_tries in range(1, LISTING_TRIES):
            try:
                return self.origin.listing(ref)
            except TransientOriginError as error:
                wait_s = error.retry_after_s
                wait_s = 0.5 * 2**num_tries if wait_s is None else min(wait_s, 60.0)
                first = str(error).partition(". ")[0]
                self.progress.notice(f"{first}; trying again in {wait_s:.0f} s")
                time.sleep(wait_s)
        return self.origin.listing(ref)

    def _bring(self, staging: Staging, listing: Listing, selection: Selection) -> dict[str, str]:
        """Every file into the tree. Returns the SHA-256 of each."""
        transfer = Transfer(
            origin=self.origin,
            ref=listing.ref,
            parts=staging.parts,
            progress=self.progress,
            num_parallel=self.num_parallel,
        )
        return staged_files.fill(staging, transfer, selection)

    def _finish(
        self, staging: Staging, listing: Listing, hashes: dict[str, str], pin: Pin | None
    ) -> Manifest:
        """Check what came as a model and against the pin, and write its manifest."""
        self.progress.phase("check")
        store.load_folder(staging.tree, name=self.name)
        manifest = Manifest.build(
            staging.tree, source=listing.ref, licence=listing.licence, known=hashes
        )
        if pin is not None and not self.update:
            manifest = self._as_pinned(manifest, pin)
        if listing.manifest is None:
            manifest.write(staging.tree)
            return manifest
        write_whole(staging.tree / MANIFEST, listing.manifest.to_json().encode())
        if listing.signature is not None:
            write_whole(staging.tree / SIGNATURE, listing.signature)
        return listing.manifest

    def _as_pinned(self, manifest: Manifest, pin: Pin) -> Manifest:
        """Check that a pinned model has the pinned bytes; equal bytes are of the pinned commit."""
        source = manifest.source
        if pin.digest == manifest.digest:
            if source is None and pin.repo is not None and pin.commit is not None:
                return replace(manifest, source=ModelRef(repo=pin.repo, revision=pin.commit))
            return manifest
        if self.is_exact and source is not None and source.revision != pin.commit:
            return manifest  # another revision, which the user named
        raise HashMismatchError(
            f"{self.name!r} is {pin.digest} in models.lock, and {self.where} gives "
            f"{manifest.digest}. One of them was changed. `--update` takes what is given, and "
            "pins it."
        )

    def _pin(self, manifest: Manifest) -> Pin:
        source = manifest.source
        return Pin(
            repo=source.repo if source else None,
            revision=self.ref.revision if self.ref else None,
            commit=source.revision if source else None,
            digest=manifest.digest,
        )


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except OSError:
        return None
