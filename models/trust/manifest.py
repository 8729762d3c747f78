"""manifest.json: which files an artifact consists of, byte for byte, and where they came from.

The file lies in the artifact beside the files that it lists. It names neither itself nor the
signature (model.sig), which is made over it afterwards::

    {"format": "intramural-manifest/1", "digest": "sha256:…", "source": {"repo": …, "commit": …},
     "licence": "apache-2.0", "scheme": "none", "tools": {"huggingface_hub": "1.2.3"},
     "created_at": "2026-11-21T05:30:00Z", "files": [{"path": …, "size": …, "sha256": …}],
     "checksum": "sha256:…"}

A quantised model's may have ``"quality"`` too: what that cost, as models/quality.py says.

The checksum is over the rest of the file. The digest is over the files alone, so that the same
bytes have the same digest whoever wrote the manifest, and when. What models/rules/bookkeeping.py
names is no part of it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from models import folder as model_folder
from models import plain_file
from models.durable import write_whole
from models.errors import ManifestError, ManifestMissingError
from models.refs import ModelRef
from models.trust import manifest_json
from models.trust.hashing import sha256_files
from models.trust.manifest_files import FileEntry, plain_files

MANIFEST = "manifest.json"
SIGNATURE = "model.sig"
NEVER_LISTED = frozenset({MANIFEST, SIGNATURE})
MAX_BYTES = 4 << 20
QUANTISED_FROM = "quantised-from"
"""The key of ``tools`` under which a quantised model names the digest of its full weights."""

__all__ = ["MANIFEST", "QUANTISED_FROM", "SIGNATURE", "FileEntry", "Manifest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(manifest_json.Fields):
    """The description of an artifact. Its attributes are `models.trust.manifest_json.Fields`."""

    @property
    def digest(self) -> str:
        """``sha256:`` and 64 digits: over ``<sha256>  <size>  <path>`` and a line feed per file."""
        lines = (f"{file.sha256}  {file.size}  {file.path}\n" for file in self.files)
        return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    @classmethod
    def build(
        cls,
        folder: Path,
        *,
        source: ModelRef | None = None,
        licence: str | None = None,
        known: Mapping[str, str] | None = None,
        tools: Mapping[str, str] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Self:
        """The manifest of a folder as it is now. Writes nothing.

        Args:
            folder: holds config.json, and plain files only.
            source: with a commit as its revision.
            licence: its short name.
            known: path to SHA-256 of files that were hashed already; these are not read.
            tools: what made the files; our own version is added.
            progress: called with the number of bytes that were hashed since the last call.

        Raises:
            ManifestError: it holds what a manifest cannot describe, or cannot be read.
            UnstableFileError: a file was written to meanwhile.
            ModelNotFoundError, UnknownSchemeError: config.json is missing, broken or unknown.
        """
        if source is not None and not source.is_pinned:
            raise ManifestError(f"{source} is no commit; a manifest names where exactly from.")
        hashes = dict(known or {})
        try:
            sizes = {path: size for path, size in plain_files(folder) if path not in NEVER_LISTED}
            unread = [path for path in sizes if path not in hashes]
            unread_hashes = sha256_files([folder / path for path in unread], progress)
        except OSError as error:
            raise ManifestError(
                f"{error.filename or folder} cannot be read: {error.strerror or error}"
            ) from None
        hashes |= dict(zip(unread, unread_hashes, strict=True))
        return cls(
            files=tuple(
                FileEntry(path=path, size=sizes[path], sha256=hashes[path])
                for path in sorted(sizes)
            ),
            source=source,
            licence=licence,
            scheme=model_folder.scheme_of(folder),
            tools=dict(sorted((_own_version() | dict(tools or {})).items())),
            created_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        )

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The manifest that lies in a folder. Whether the files agree is verify.py's task.

        Raises:
            ManifestMissingError: there is none.
            ManifestError: it is no manifest, or cannot be read.
        """
        return cls.parse(read_bytes(folder), where=str(folder / MANIFEST))

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The same; None where there is none that can be read."""
        try:
            return cls.read(folder)
        except ManifestError:
            return None

    @classmethod
    def parse(cls, raw: bytes, *, where: str = MANIFEST) -> Self:
        """A manifest from its JSON.

        Args:
            raw: the JSON.
            where: what messages call it.

        Raises:
            ManifestError: broken JSON, an unknown or missing key, a value of a wrong kind, a path
                that is not plain, the same path twice, or a digest that is not that of the files.
        """
        try:
            claimed, manifest = manifest_json.parse(raw, cls)
        except manifest_json.FormatError as error:
            raise ManifestError(f"{where} is not a manifest: {error}.") from None
        if manifest.digest != claimed:
            raise ManifestError(
                f"{where} contradicts itself: it says {claimed}, and its files make "
                f"{manifest.digest}."
            )
        return manifest

    def to_json(self) -> str:
        """The file's text; ends with a line feed."""
        return manifest_json.dump(self, self.digest)

    def write(self, folder: Path) -> None:
        """Put it into the folder: whole or not at all, and on the disk when this returns.

        Raises:
            ManifestError: it could not be written.
        """
        path = folder / MANIFEST
        try:
            write_whole(path, self.to_json().encode())
        except OSError as error:
            raise ManifestError(f"{path} cannot be written: {error.strerror or error}") from None


def read_bytes(folder: Path) -> bytes:
    """The manifest's file, as it is.

    Raises:
        ManifestMissingError: there is none.
        ManifestError: it cannot be read, or is too large to be one.
    """
    path = folder / MANIFEST
    try:
        return plain_file.read(path, MAX_BYTES)
    except FileNotFoundError:
        raise ManifestMissingError(
            f"{folder} has no {MANIFEST}, so there is nothing to check its files against. "
            "`python -m models pull` writes one, and so does `python -m models sign`."
        ) from None
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror or error}") from None


def _own_version() -> dict[str, str]:
    """Our version; nothing when run from a checkout."""
    try:
        return {"intramural": importlib.metadata.version("intramural")}
    except importlib.metadata.PackageNotFoundError:
        return {}
