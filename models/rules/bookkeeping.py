"""Things that file systems, desktops and download tools leave in a folder, and no loader opens.

Passed over wherever rules, manifests and signatures walk a folder. A name is here only when nothing
under it could be loaded as part of a model, and only as the kind that its maker makes: a folder
called ``.DS_Store`` is no ``.DS_Store``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from models import hub_cache

TOOLS = frozenset({".cache", ".git", ".gitattributes", ".gitignore"})
"""Of download tools, folder or file."""
FOLDERS = frozenset(
    {
        *("lost+found", ".Trash", ".Trashes", ".snapshot", ".snapshots", ".zfs"),
        *("System Volume Information", "$RECYCLE.BIN", "RECYCLER", "#recycle", "#snapshot"),
        *("@eaDir", "@Recycle", "@Recently-Snapshot", ".@__thumb", ".glusterfs", ".fseventsd"),
        *(".Spotlight-V100", ".TemporaryItems", ".DocumentRevisions-V100", ".AppleDouble"),
    }
)
"""Of file systems and network storage, at a volume's root, with rights of their own."""
FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".directory", ".localized"})
"""Of desktops."""
_TRASH = re.compile(r"\.Trash-\d+")
_NFS = re.compile(r"\.nfs[0-9a-f]{8,}")
"""A file that was removed while an NFS client held it open; it goes when that lets go."""


def is_bookkeeping(entry: os.DirEntry[str]) -> bool:
    """Whether the entry is passed over. A link is only where a cache keeps a tool's file so."""
    name = entry.name
    if entry.is_symlink():
        return name in TOOLS and hub_cache.blob_of(Path(entry.path)) is not None
    if name in TOOLS:
        return True
    if entry.is_dir(follow_symlinks=False):
        return name in FOLDERS or _TRASH.fullmatch(name) is not None
    if entry.is_file(follow_symlinks=False):
        return name in FILES or _NFS.fullmatch(name) is not None
    return False
