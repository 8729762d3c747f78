"""Whether an artifact's files are those of its manifest: full, quick or off.

    full    hashes every file
    quick   hashes only files whose size, times or inode differ from the last time they were hashed
            and agreed (models/trust/verified_cache.py); an artifact without a stamp is hashed as
            under full
    off     reads the manifest, and compares nothing

What `quick` cannot see: bytes that changed while the kernel's record of the file did not. That is a
disk or a cable that returns other bytes than were written, a write to the device beneath the file
system, a clock that was set back, or a stamp that was forged. For those there is `full`.

Neither says who made the artifact: who can write its files can write its manifest too. That is
the signature's task (models/trust/signing.py), or that of a digest kept elsewhere (``expect``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from models.errors import NotIntactError
from models.progress import Meter
from models.trust.differences import Comparison, Difference, on_disk
from models.trust.hashing import FileHash, hash_files
from models.trust.manifest import Manifest
from models.trust.verified_cache import Marks, Stamp, Stamps, is_settled, marks_of

MAX_SHOWN = 50
"""Most differences in a message."""
FULL_UP_TO_BYTES = 40_000_000_000
"""`default_mode` hashes artifacts up to this size at every start: some 20 s on two cores."""


class Mode(StrEnum):
    """The care with which files are compared. The head of this module says what each sees."""

    FULL = "full"
    QUICK = "quick"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a verification.

    Attributes:
        mode: the one that was used.
        manifest: that the files were compared with.
        differences: by path; empty when all is well.
        num_hashed: files whose bytes were read.
        hashed_bytes: of these.
        hashes: path to SHA-256 of the files that were read and agree.
    """

    folder: Path
    mode: Mode
    manifest: Manifest
    differences: tuple[Difference, ...] = ()
    num_hashed: int = 0
    hashed_bytes: int = 0
    hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        """Whether nothing differs. Always so under off."""
        return not self.differences

    def require_ok(self) -> None:
        """Raises NotIntactError: something differs; the message names the first MAX_SHOWN files."""
        if self.differences:
            shown = self.differences[:MAX_SHOWN]
            lines = "\n".join(f"  {difference}" for difference in shown)
            if len(self.differences) > MAX_SHOWN:
                lines += f"\n  and {len(self.differences) - MAX_SHOWN:,} more"
            raise NotIntactError(
                f"the model folder {self.folder} is not what its manifest says "
                f"({self.manifest.digest}):\n{lines}\n"
                "Fetch or copy it anew. If the change was meant: remove manifest.json, and sign."
            )


def default_mode(size_bytes: int) -> Mode:
    """The mode of a start where none was chosen: by the size of all files."""
    return Mode.FULL if size_bytes <= FULL_UP_TO_BYTES else Mode.QUICK


def verify(
    folder: Path,
    mode: Mode = Mode.FULL,
    *,
    manifest: Manifest | None = None,
    expect: str | None = None,
    stamps: Stamps | None = None,
    meter: Meter | None = None,
) -> Report:
    """Compare an artifact with its manifest. Loads nothing.

    Args:
        folder: the artifact.
        mode: how thoroughly.
        manifest: to compare with; read from the folder when it is not given. Give the one whose
            signature was checked, so that nobody can exchange it in between.
        expect: the digest that the manifest must have, as it was pinned elsewhere.
        stamps: where quick looks, and where both put what they saw; without it quick is full.
        meter: counts the bytes that are hashed.

    Raises:
        ManifestMissingError: there is no manifest.
        ManifestError: it is broken.
        NotIntactError: the digest is not the expected one, or a file could not be read.
        UnstableFileError: a file was written to meanwhile.
    """
    manifest = manifest or Manifest.read(folder)
    if expect is not None and manifest.digest != expect:
        raise NotIntactError(
            f"the model folder {folder} is another than was pinned: its manifest has the digest "
            f"{manifest.digest}, pinned is {expect}."
        )
    if mode is Mode.OFF:
        return Report(folder=folder, mode=mode, manifest=manifest)
    started_ns = time.time_ns()
    stamp = stamps.read(folder) if stamps is not None else None
    try:
        known = stamp if mode is Mode.QUICK and stamp is not None else None
        comparison = Comparison(manifest, on_disk(folder), known)
        hashed = _hash(folder, comparison, meter)
    except OSError as error:
        raise NotIntactError(
            f"{error.filename or folder} cannot be read, so the model is not proven whole: "
            f"{error.strerror or error}."
        ) from None
    hashes = {path: item.sha256 for path, item in hashed.items()}
    report = Report(
        folder=folder,
        mode=mode,
        manifest=manifest,
        differences=tuple(comparison.differences(hashes)),
        num_hashed=len(hashed),
        hashed_bytes=sum(item.size for item in hashed.values()),
        hashes={path: sha256 for path, sha256 in hashes.items() if comparison.agrees(path, sha256)},
    )
    if stamps is not None:
        _stamp(stamps, report, comparison.trusted, hashed, started_ns)
    return report


def _hash(folder: Path, comparison: Comparison, meter: Meter | None) -> dict[str, FileHash]:
    paths = comparison.to_hash
    if meter is not None:
        meter.phase("verify", sum(comparison.here[path].st_size for path in paths))
    advance = meter.advance if meter is not None else None
    return dict(zip(paths, hash_files([folder / path for path in paths], advance), strict=True))


def _stamp(
    stamps: Stamps,
    report: Report,
    trusted: Mapping[str, Marks],
    hashed: Mapping[str, FileHash],
    started_ns: int,
) -> None:
    """Keep what was seen of files that agree; a differing artifact loses its stamp."""
    files = dict(trusted)
    for path in report.hashes:
        marks = marks_of(hashed[path].stat)
        if is_settled(marks, started_ns):
            files[path] = marks
    try:
        if report.is_ok:
            folder = report.folder.resolve()
            stamps.write(Stamp(folder=folder, digest=report.manifest.digest, files=files))
        else:
            stamps.forget(report.folder)
    except OSError:
        return  # a data directory that cannot be written costs the next start time, nothing else
