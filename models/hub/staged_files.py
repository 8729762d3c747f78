"""The files of a model into the tree that becomes it: small ones first, which are looked at.

Between the parts that arrive and the tree there are renames, never copies.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from models import disk_space, policy
from models.errors import ModelNotFoundError
from models.hub.origins import OriginFile
from models.hub.selection import SMALL_BYTES, Selection
from models.hub.transfer import MAKE_ROOM, Transfer
from models.progress import size
from models.staging import Staging
from models.trust.manifest import Manifest

_LATER_RULES = frozenset({"index", "safetensors"})
"""Rules that cannot hold before the weights are there."""


def fill(staging: Staging, transfer: Transfer, selection: Selection) -> dict[str, str]:
    """Every file into the tree. Returns the SHA-256 of each."""
    take_back(staging, transfer, selection.chosen)
    reuse(staging, transfer, selection.chosen, Manifest.find(staging.target))
    here = transfer.num_bytes_here(selection.chosen)
    disk_space.check(staging.folder, selection.num_bytes - here, MAKE_ROOM)
    if here:
        transfer.progress.notice(f"going on with {size(here)} that are here")
    transfer.progress.phase("fetch", selection.num_bytes, done_bytes=here)
    small = [file for file in selection.chosen if _is_small(file)]
    large = [file for file in selection.chosen if not _is_small(file)]
    hashes = transfer.fetch(small)
    place(staging, transfer, small)
    _check_small(staging.tree)
    hashes |= transfer.fetch(large)
    place(staging, transfer, large)
    return hashes


def take_back(staging: Staging, transfer: Transfer, files: Sequence[OriginFile]) -> None:
    """Make parts again of files that an earlier process had placed; all else in the tree goes.

    So nothing counts but what is hashed in this run. What is placed has its full size; anything of
    another size could be a second name of a file in use (``reuse``), and would be appended to.
    """
    for file in files:
        placed, part = staging.tree / file.path, transfer.part(file)
        if not part.exists() and _size_of(placed) == file.size:
            placed.rename(part)
    shutil.rmtree(staging.tree)
    staging.tree.mkdir()
    wanted = {file.key for file in files}
    for path in staging.parts.iterdir():
        if path.name not in wanted:  # of a version that is no longer wanted
            path.unlink()


def reuse(
    staging: Staging,
    transfer: Transfer,
    files: Sequence[OriginFile],
    manifest: Manifest | None,
) -> None:
    """Large files of the model that is to be replaced, where they are to stay as they are.

    As a second name, not a copy. The transfer hashes them, and never writes to a file that has its
    full size; a wrong one it unlinks, which leaves the first name.

    Args:
        staging: whose target is to be replaced.
        transfer: into its parts.
        files: wanted.
        manifest: of the target; None where there is none.
    """
    here = {entry.path: entry for entry in manifest.files} if manifest else {}
    for file in files:
        entry, part = here.get(file.path), transfer.part(file)
        if entry is None or file.sha256 != entry.sha256 or part.exists():
            continue
        with suppress(OSError):  # a file system without hard links: it is fetched
            if _size_of(staging.target / file.path) == file.size:
                part.hardlink_to(staging.target / file.path)


def place(staging: Staging, transfer: Transfer, files: Sequence[OriginFile]) -> None:
    """Put files that are whole where the model has them."""
    for file in files:
        target = staging.tree / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        transfer.part(file).rename(target)


def _is_small(file: OriginFile) -> bool:
    return file.size <= SMALL_BYTES and not file.path.endswith(".safetensors")


def _check_small(tree: Path) -> None:
    """Refuse by the configurations alone, if they are reason enough."""
    try:
        refusals = [refusal for refusal in policy.inspect(tree) if refusal.rule not in _LATER_RULES]
    except OSError as error:
        raise ModelNotFoundError(f"{tree} cannot be read: {error.strerror or error}") from None
    if refusals:
        policy.check(tree)


def _size_of(path: Path) -> int | None:
    """Bytes of a plain file; None where there is none."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
