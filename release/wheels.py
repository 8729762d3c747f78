"""Wheels: fetched by pip as the user's pip is configured, held to the lock, and our own.

Where packages come from is not our business: pip asks the indexes and folders that its
configuration names. What may come is: only files whose SHA-256 stands in the lock.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from models.progress import Progress
from models.trust.hashing import sha256_files
from release.errors import ReleaseError
from release.lock import Locked
from serve import commit

ROOT = Path(__file__).resolve().parents[1]
EPOCH = "1577836800"
"""2020: what is packed has no time of its own, so that equal sources make equal wheels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One file.

    Attributes:
        name: of its package, in its normal form.
        version: of its package.
        sha256: 64 hexadecimal digits.
        metadata: its METADATA: licence, requirements.
        num_bytes: of the file.
        startup_files: its ``.pth`` files, whose lines run whenever Python starts.
    """

    path: Path
    name: str
    version: str
    sha256: str
    metadata: Message
    num_bytes: int
    startup_files: tuple[str, ...]


def fetch(lock: Path, folder: Path) -> None:
    """Let pip download every wheel of the lock; what it says is shown as it comes.

    What is here already is not downloaded again, nor what pip has in its cache.

    Raises:
        ReleaseError: pip does not find one, or one has another hash than the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReleaseError(f"{folder} cannot be made: {error.strerror or error}") from None
    command = [
        *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check"),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--dest", str(folder), "--find-links", str(folder), "--requirement", str(lock)),
    ]
    # To stderr: stdout is for results.
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise ReleaseError(
            f"pip did not fetch all wheels of {lock}; it says above which. PyTorch's build for "
            "CPUs is on PyTorch's own index alone: name that index, or a folder with the wheel, "
            "in PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS. Then run again: it goes on."
        )


def held_to(lock: Sequence[Locked], folder: Path, progress: Progress) -> list[Wheel]:
    """The wheels of the lock in this folder, hashed. An older one of our own is removed.

    Raises:
        ReleaseError: one is missing, or another is there.
    """
    for older in folder.glob("intramural-*.whl"):
        older.unlink()
    paths = sorted(folder.glob("*.whl"))
    progress.phase("hash", sum(path.stat().st_size for path in paths))
    hashes = dict(zip(paths, sha256_files(paths, progress.advance), strict=True))
    by_hash = {sha256: path for path, sha256 in hashes.items()}
    wheels = []
    for locked in lock:
        sha256 = next((one for one in sorted(locked.hashes) if one in by_hash), None)
        if sha256 is None:
            raise ReleaseError(
                f"no wheel in {folder} is {locked.name} {locked.version} with a hash of the lock."
            )
        wheel = read(by_hash.pop(sha256), sha256)
        if (wheel.name, wheel.version) != (locked.name, locked.version):
            raise ReleaseError(
                f"the lock says {locked.name} {locked.version} of a file that is {wheel.name} "
                f"{wheel.version}: {wheel.path}."
            )
        wheels.append(wheel)
    if by_hash:  # not removed: the folder may be somebody's
        names = ", ".join(path.name for path in by_hash.values())
        raise ReleaseError(
            f"{folder} holds wheels that are not in the lock: {names}. Remove them, or name "
            "another --out."
        )
    return wheels


def own(folder: Path) -> Wheel:
    """Our own sources as a wheel that knows its commit, built without a network.

    Raises:
        ReleaseError: it cannot be built.
    """
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    tops = {name.partition(".")[0] for name in listed["tool"]["setuptools"]["packages"]}
    version = listed["project"]["version"]
    with tempfile.TemporaryDirectory() as scratch:  # setuptools writes beside what it reads
        copy = Path(scratch)
        for name in sorted(tops):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        command = [
            *(sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", "--quiet"),
            *("--no-index", "--no-deps", "--no-build-isolation"),
            *("--wheel-dir", str(folder), str(copy)),
        ]
        ended = subprocess.run(
            command,
            env=os.environ
            | {"SOURCE_DATE_EPOCH": EPOCH, "SOURCE_COMMIT": commit.of_checkout(ROOT) or ""},
            capture_output=True,
            text=True,
            check=False,
        )
    if ended.returncode:
        raise ReleaseError(f"our own wheel cannot be built:\n{ended.stderr[-2000:]}")
    path = folder / f"intramural-{version}-py3-none-any.whl"
    return read(path, sha256_files([path])[0])


def read(path: Path, sha256: str) -> Wheel:
    """The facts that a wheel states of itself.

    Raises:
        ReleaseError: it is none.
    """
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            (metadata,) = (
                name
                for name in names
                if name.endswith(".dist-info/METADATA") and name.count("/") == 1
            )
            head = HeaderParser().parsestr(archive.read(metadata).decode("utf-8", "replace"))
    except (OSError, ValueError, zipfile.BadZipFile, InvalidWheelFilename) as error:
        raise ReleaseError(f"{path} is not a wheel: {error}.") from None
    return Wheel(
        path=path,
        name=name,
        version=str(version),
        sha256=sha256,
        metadata=head,
        num_bytes=path.stat().st_size,
        startup_files=tuple(one for one in names if one.endswith(".pth") and "/" not in one),
    )
