"""Whether a folder is still the one that was checked: every file's size, times and inode, twice.

Rules, hashes and engines each open the files by name. Taken before the first rule reads a byte and
compared after the last byte was loaded, the marks show that all of them read the same files: a
file's change time moves with every write and every exchange, and no program can set it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models import hub_cache
from models.errors import NotIntactError
from models.trust.manifest_files import walk
from models.trust.verified_cache import Marks, marks_of

MAX_SHOWN = 8


def marks_in(folder: Path) -> dict[str, Marks]:
    """The marks of everything in a folder that is no folder, by relative path.

    A link of Hugging Face's cache has marks of its own, and so has the file that it leads to.

    Raises:
        OSError: something cannot be looked at.
    """
    marks: dict[str, Marks] = {}
    for path, entry in walk(folder):
        marks[path] = marks_of(entry.stat(follow_symlinks=False))
        blob = hub_cache.blob_of(Path(entry.path)) if entry.is_symlink() else None
        if blob is not None:
            marks[f"{path} -> blobs/{blob.name}"] = marks_of(blob.lstat())
    return marks


def require_unchanged(folder: Path, before: Mapping[str, Marks]) -> None:
    """Raises NotIntactError: a file was written, exchanged, added or removed since."""
    try:
        now = marks_in(folder)
    except OSError as error:
        raise NotIntactError(
            f"{error.filename or folder} cannot be looked at any more: {error.strerror or error}. "
            "The model was changed while it was loaded; start again once nothing writes to it."
        ) from None
    changed = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
    if changed:
        more = f" and {len(changed) - MAX_SHOWN} more" if len(changed) > MAX_SHOWN else ""
        raise NotIntactError(
            f"the model folder {folder} was changed while it was checked and loaded: "
            f"{', '.join(map(repr, changed[:MAX_SHOWN]))}{more}. Start again once nothing writes "
            "to it."
        )
