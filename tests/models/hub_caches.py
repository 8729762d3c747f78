"""Entries of Hugging Face's cache for tests, as huggingface_hub writes them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.models.folders import whole

COMMIT = "c" * 40


def link(snapshot: Path, name: str, content: bytes) -> Path:
    """A file of a snapshot: bytes in ``blobs``, and a link to them; returns the blob."""
    entry = snapshot.parent.parent
    blob = entry / "blobs" / hashlib.sha256(content).hexdigest()
    blob.parent.mkdir(exist_ok=True)
    blob.write_bytes(content)
    path = snapshot / name
    path.parent.mkdir(parents=True, exist_ok=True)
    up = "../" * len(path.parent.relative_to(entry).parts)
    path.symlink_to(f"{up}blobs/{blob.name}")
    return blob


def snapshot_of(files: Path, hub: Path, name: str = "acme--tiny") -> Path:
    """The files of a folder as a snapshot in a cache; returns the snapshot."""
    snapshot = hub / f"models--{name}" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for path in sorted(files.rglob("*")):
        if path.is_file():
            link(snapshot, path.relative_to(files).as_posix(), path.read_bytes())
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text(COMMIT)
    return snapshot


def tiny(tmp_path: Path) -> Path:
    """A whole tiny model's snapshot in ``tmp_path/hub``."""
    return snapshot_of(whole(tmp_path / "files"), tmp_path / "hub")
