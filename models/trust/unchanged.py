"""Whether a folder is still the one that was checked: every file's size, times and inode, twice.

Rules, hashes and engines each open the files by name. Taken before the first rule reads a byte and
compared after the last byte was loaded, the marks show that all of them read the same files: a
file's change time moves with every write and every exchange, and no program can set it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.errors import NotIntactError
from models.trust.manifest_files import walk
from models.trust.verified_cache import Marks, marks_of

MAX_SHOWN = 8


def marks_in(folder: Path) -> dict[str, Marks]:
    """The marks of everything in a folder that is no folder, by relative path.

    Raises:
        OSError: something cannot be looked at.
    """
    return {path: marks_of(entry.stat(follow_symlinks=False)) for path, entry in walk(folder)}


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
