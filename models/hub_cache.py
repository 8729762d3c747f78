"""Hugging Face's own cache: its snapshots as model folders, and where a repository lies in it.

::

    ~/.cache/huggingface/hub/models--ORG--NAME/          an entry
        blobs/HASH                                       the bytes
        refs/main                                        a commit
        snapshots/COMMIT/config.json -> ../../blobs/HASH     a folder of links

A link is followed in one case alone: it lies in a snapshot and leads, by ``../`` and nothing else,
to a plain file directly in ``blobs`` of the same entry. What is opened then is that file, by its
own path and without following a link; every other link is refused as before. Layout:
huggingface_hub 2.4, "Understand caching".
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from models import home

ENTRY = re.compile(r"models--([A-Za-z0-9][\w.-]*?)--([A-Za-z0-9][\w.-]*)", re.ASCII)
_LINK = re.compile(r"((?:\.\./)+)blobs/([0-9A-Za-z][0-9A-Za-z_.-]{0,127})", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MAX_DEPTH = 8
"""Most folders between a link and its entry."""


def blob_of(path: Path) -> Path | None:
    """The file that a link of a snapshot stands for; None for all else.

    The link's own place counts, with links to it resolved, so that no name can pretend to one.
    """
    try:
        match = _LINK.fullmatch(str(path.readlink()))
    except OSError:  # no link
        return None
    if match is None:
        return None
    folder = Path(os.path.realpath(path.parent))
    entry = _entry_above(folder)
    if entry is None or len(match[1]) // 3 != len(folder.relative_to(entry).parts):
        return None
    blob = entry / "blobs" / match[2]
    try:
        is_plain = stat.S_ISDIR(os.lstat(blob.parent).st_mode) and stat.S_ISREG(
            os.lstat(blob).st_mode
        )
    except OSError:
        return None
    return blob if is_plain else None


def place_of(path: Path) -> Path:
    """The path of a file's bytes: the blob of a snapshot's link, else the path as it is."""
    return blob_of(path) or path


def _entry_above(folder: Path) -> Path | None:
    """The entry whose snapshot this folder is, or is in."""
    for parent in list(folder.parents)[:_MAX_DEPTH]:
        if parent.name == "snapshots" and ENTRY.fullmatch(parent.parent.name):
            return parent.parent
    return None


def name_of(folder: Path) -> str | None:
    """``ORG--NAME`` of a snapshot's folder, as the store would call it; None for other folders."""
    entry = _entry_above(folder / "file")
    return None if entry is None else entry.name.removeprefix("models--")


def snapshot_of(entry: Path) -> Path | None:
    """The snapshot that ``refs/main`` names, else the newest; None where there is none."""
    try:
        with (entry / "refs/main").open("rb") as file:
            commit = file.read(64).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        commit = ""
    if _COMMIT.fullmatch(commit) and (entry / "snapshots" / commit / "config.json").is_file():
        return entry / "snapshots" / commit
    try:
        there = [path for path in (entry / "snapshots").iterdir() if path.is_dir()]
    except OSError:
        return None
    return max(there, key=lambda path: path.stat().st_mtime_ns, default=None)


def advice_on(text: str) -> str | None:
    """Advice on serving what this text names from the cache; None where nothing of it is there.

    Args:
        text: a path of an entry, the name of one, or ``ORG/NAME``.
    """
    path = Path(text)
    if ENTRY.fullmatch(path.name) and (path / "snapshots").is_dir():
        entry, what = path, f"{text} is an entry of Hugging Face's cache, which holds snapshots."
    else:
        top = home.hub_cache()
        name = text if ENTRY.fullmatch(text) else "models--" + text.replace("/", "--")
        if top is None or not ENTRY.fullmatch(name):
            return None
        entry, what = top / name, f"{text} is in Hugging Face's cache."
    snapshot = snapshot_of(entry)
    return None if snapshot is None else f"{what} Serve it from there: --model {snapshot}"
