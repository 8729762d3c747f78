"""Machine code of kernels, kept from one start to the next, so that a warm one compiles nothing.

::

    XDG_CACHE_HOME/intramural/kernels/KEY/NAME    SHA-256 of what follows, an object file

The key is a digest of the kernels' sources, of Numba, LLVM and Python, of Numba's settings in the
environment and of the processor: code of another key is never looked at. What is loaded is run, so
the folder and its files have to be this user's own and writable for nobody else, as an environment
with its packages has to be. Where they are not, or nothing can be written, kernels are compiled.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import shutil
import stat
from collections.abc import Callable, Mapping
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


def read(name: str) -> bytes | None:
    """The kernel's object file; None where there is none that can be used."""
    folder = _folder()
    if folder is None or not _is_private(folder, stat.S_ISDIR):
        return None
    path = folder / name
    if not _is_private(path, stat.S_ISREG):
        return None
    try:
        kept = plain_file.read(path, MAX_BYTES)
    except (OSError, ValueError):
        return None
    digest, code = kept[:_DIGEST_BYTES], kept[_DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == digest else None


def write(name: str, code: bytes) -> None:
    """Keep a kernel's object file. Where that cannot be done, the next start compiles it again."""
    folder = _folder()
    if folder is None:
        return
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            _forget_all_but(MOST_KEYS - 1, folder.parent)
            folder.mkdir(mode=0o700)
        if _is_private(folder, stat.S_ISDIR):
            write_whole(folder / name, hashlib.sha256(code).digest() + code)
    except OSError:
        return


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


def _is_private(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Whether it is of this kind and no link, this user's, and nobody else may write there."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return is_kind(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _forget_all_but(num: int, root: Path) -> None:
    folders = sorted(root.iterdir(), key=lambda path: path.lstat().st_mtime, reverse=True)
    for folder in folders[num:]:
        shutil.rmtree(folder, ignore_errors=True)
