"""The folder of evidence: files, an index of their digests, and a signature over the index.

``evidence.json`` lists every file but itself and its signature. ``evidence.note`` is a signed note
(C2SP signed-note) whose text names the index's SHA-256, so that one signature holds all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from models.durable import sync_folder, write_whole
from serve.errors import StartupError
from serve.evidence.part import Part, json_bytes
from serve.version import server_commit, server_version

FORMAT: Final = "intramural evidence 1"
INDEX: Final = "evidence.json"
NOTE: Final = "evidence.note"


class Signer(Protocol):
    """A key that signs notes."""

    def sign(self, text: str) -> bytes:
        """The note: text, an empty line, and the signature's line."""
        ...


def write(out: Path, parts: Sequence[Part], signer: Signer, made_at: datetime | None = None) -> str:
    """Write the folder. It is there whole or, under another name, not at all.

    Args:
        out: must not be there, or be empty.

    Returns:
        The SHA-256 of the index, in hexadecimal digits.

    Raises:
        StartupError: it cannot be written.
    """
    new = out.with_name(f".{out.name}.new")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise StartupError(f"--out {out}: there is something already. Name a new folder.")
        new.mkdir(mode=0o700, parents=True)
        digest = _fill(new, parts, signer, made_at or datetime.now(UTC))
        if out.exists():
            out.rmdir()
        new.rename(out)
        sync_folder(out.parent)
    except FileExistsError:
        raise StartupError(
            f"--out {out}: {new} is left from a run that was cut short. Remove it."
        ) from None
    except OSError as error:
        raise StartupError(
            f"--out {out}: it cannot be written: {error.strerror or error}."
        ) from None
    return digest


def _fill(folder: Path, parts: Sequence[Part], signer: Signer, made_at: datetime) -> str:
    rows = []
    for part in parts:
        for name, data in sorted(part.files.items()):
            path = folder / name
            for parent in reversed(path.relative_to(folder).parents):
                (folder / parent).mkdir(mode=0o700, exist_ok=True)
            _write(path, data)
            rows.append({"path": name, "bytes": len(data), "sha256": _sha256(data)})
    index: dict[str, Any] = {
        "format": FORMAT,
        "made_at": made_at.isoformat(timespec="seconds"),
        "version": server_version(),
        "commit": server_commit(),
        "parts": [
            {"name": part.name, "state": part.state, "summary": part.summary} for part in parts
        ],
        "files": sorted(rows, key=lambda row: str(row["path"])),
    }
    data = json_bytes(index)
    _write(folder / INDEX, data)
    digest = hashlib.sha256(data).digest()
    _write(folder / NOTE, signer.sign(f"{FORMAT}\n{base64.b64encode(digest).decode()}\n"))
    return digest.hex()


def _write(path: Path, data: bytes) -> None:
    write_whole(path, data, mode=0o600)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
