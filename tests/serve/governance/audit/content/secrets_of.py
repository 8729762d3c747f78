"""A content key file, and the keys of subjects under it."""

from __future__ import annotations

from pathlib import Path

from serve.governance.audit.content.content_keys import read_content_keys
from serve.governance.audit.content.subject_keys import SubjectKeys


def key_file(folder: Path, *keys: str, name: str = "content.key") -> Path:
    """A file of content keys; each given as a letter that its 64 digits are."""
    path = folder / name
    path.write_text("\n".join(key * 64 for key in keys or ("a",)) + "\n")
    path.chmod(0o600)
    return path


def subject_keys(folder: Path, *keys: str) -> SubjectKeys:
    return SubjectKeys(folder / "keys", read_content_keys(key_file(folder, *keys)))
