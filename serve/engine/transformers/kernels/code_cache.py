"""Machine code of kernels, kept from one start to the next, so that a warm one compiles nothing.

::

    XDG_CACHE_HOME/intramural/kernels/KEY/NAME    SHA-256 of what follows, an object file

The key is a digest of the kernels' sources, of Numba, LLVM and Python, of Numba's settings in the
environment and of the processor: code of another key is never looked at. What is loaded is run, so
the two folders and their files have to be this user's own, no links, and writable for nobody else,
as an environment with its packages has to be. They are made so, whatever the umask says. Where they
are not, or nothing can be written, kernels are compiled, and the log says why.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import logging
import os
import platform
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from models import home, plain_file
from models.durable import write_whole
from models.errors import HomelessError
from serve.engine.transformers.kernels import processor
from serve.environment import operator_environment

MAX_BYTES = 1 << 20
"""Kernels have some 10 KB."""
MOST_KEYS = 8
"""Folders that are kept: those of earlier versions, and of other processors that share a home."""
_DIGEST_BYTES = 32
_KEY = re.compile(r"[0-9a-f]{32}")

log = logging.getLogger(__name__)


def read(name: str) -> bytes | None:
    """The kernel's object file; None where there is none that can be used."""
    folder = _folder()
    if folder is None or not all(_is_there_and_private(each) for each in (folder.parent, folder)):
        return None
    try:
        with plain_file.opened(folder / name) as file:
            if not _is_private(os.fstat(file.fileno())):
                return None
            kept = file.read(MAX_BYTES + 1)
    except OSError:
        return None
    digest, code = kept[:_DIGEST_BYTES], kept[_DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == digest else None


def write(name: str, code: bytes) -> None:
    """Keep a kernel's object file. Where that cannot be done, the next start compiles it again."""
    folder = _folder()
    if folder is None:
        _say_once("there is no home directory, and XDG_CACHE_HOME names no folder")
        return
    try:
        _make(folder)
        write_whole(folder / name, hashlib.sha256(code).digest() + code, mode=0o600)
    except OSError as error:
        _say_once(f"{error.filename or folder}: {error.strerror or error}")


def _make(folder: Path) -> None:
    """Make the folder, and forget old ones beside it.

    Raises:
        OSError: it cannot be made, or others may write there.
    """
    root = folder.parent
    root.parent.mkdir(parents=True, exist_ok=True)
    _make_private(root)
    if not folder.exists():
        _forget_all_but(MOST_KEYS - 1, root)
    _make_private(folder)


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_there_and_private(folder):
        raise OSError(0, "is not this user's own folder, closed to others (chmod 700)", str(folder))


@functools.cache
def _say_once(reason: str) -> None:
    log.info("compiled kernels are not kept", extra={"reason": reason})


def _folder() -> Path | None:
    try:
        return home.xdg("XDG_CACHE_HOME", ".cache") / "kernels" / _key(operator_environment())
    except HomelessError:
        return None


def _key(environment: Mapping[str, str]) -> str:
    return _digest(
        tuple(sorted(pair for pair in environment.items() if pair[0].startswith("NUMBA_")))
    )


@functools.cache
def _digest(settings: tuple[tuple[str, str], ...]) -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    parts = [
        *(f"{source.name}\n{source.read_text('utf-8')}" for source in sources),
        *(f"{name} {importlib.metadata.version(name)}" for name in ("numba", "llvmlite")),
        platform.python_version(),
        platform.machine(),
        *processor.identity(),
        repr(settings),
    ]
    whole = hashlib.sha256()
    for part in parts:
        whole.update(f"{len(part)}:{part}".encode())
    return whole.hexdigest()[:32]


def _is_there_and_private(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and _is_private(found)


def _is_private(found: os.stat_result) -> bool:
    """Whether it is this user's, and nobody else may write there."""
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _forget_all_but(num: int, root: Path) -> None:
    """Remove the oldest folders of keys. What else is there is not ours to remove."""
    folders = [path for path in root.iterdir() if _KEY.fullmatch(path.name) and path.is_dir()]
    for folder in sorted(folders, key=_modified_at, reverse=True)[num:]:
        shutil.rmtree(folder, ignore_errors=True)


def _modified_at(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # another process forgets it
        return 0.0
