"""A place beside the models where one is made, and the step that makes it a model.

``<store>/.staging/NAME/tree`` is filled; ``commit`` brings all of it to the disk and renames it to
``<store>/NAME``. A rename is one step: whenever the process or the machine stops, the model is
there whole or not there at all, and names in ``.staging`` are never loaded. What is there when a
process dies stays for the next one to go on with; `python -m models gc` removes it.

It lies within the store, and not beside it, because a rename cannot cross file systems and the
store is often a mount of its own.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from models import durable
from models.errors import StoreBusyError

STAGING = ".staging"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """One model in the making. Held by one process at a time.

    Attributes:
        folder: ``<store>/.staging/NAME``.
        target: ``<store>/NAME``: where it goes.
    """

    folder: Path
    target: Path

    @property
    def tree(self) -> Path:
        """The folder that becomes the model. Nothing else may lie in it at ``commit``."""
        return self.folder / "tree"

    @property
    def parts(self) -> Path:
        """The folder of files that are not whole yet; never part of the model."""
        return self.folder / "parts"

    def commit(self) -> Path:
        """Put the tree in the place of the model, on the disk and in one step.

        A model of that name that was there is removed afterwards; who has its files open keeps
        them.

        Raises:
            OSError: the disk is full, or failed. The model that was there before still is.
        """
        sync_tree(self.tree)
        if self.target.exists():
            _exchange(self.tree, self.target)
        else:
            self.tree.rename(self.target)
        durable.sync_folder(self.target.parent)
        self.discard()
        return self.target

    def discard(self) -> None:
        """Remove all that was staged."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def staged(root: Path, name: str) -> Iterator[Staging]:
    """A staging folder, with what an earlier process left in it.

    Without ``commit`` or ``discard`` it stays, also after an error, for the next to go on with.

    Args:
        root: the store.
        name: a plain name; the caller has checked it.

    Raises:
        StoreBusyError: another process has it.
        OSError: the folder cannot be made.
    """
    staging = Staging(folder=root / STAGING / name, target=root / name)
    with _held(staging.folder):
        staging.tree.mkdir(exist_ok=True)
        staging.parts.mkdir(exist_ok=True)
        yield staging


def names(root: Path) -> list[str]:
    """Models that something is staged for."""
    with suppress(FileNotFoundError):
        return sorted(entry.name for entry in os.scandir(root / STAGING))
    return []


def is_held(root: Path, name: str) -> bool:
    """Whether a living process is working on it."""
    folder = root / STAGING / name
    try:
        with _held(folder, create=False):
            return False
    except StoreBusyError:
        return True
    except FileNotFoundError:
        return False


def sync_tree(folder: Path) -> None:
    """Bring every file and folder to the disk.

    Raises:
        OSError: the disk is full, or failed.
    """
    for path, _, files in os.walk(folder, topdown=False):
        for name in files:
            _sync(Path(path) / name)
        durable.sync_folder(Path(path))


def sync_parent(path: Path) -> None:
    """Bring a file's name to the disk.

    Raises:
        OSError: the disk failed.
    """
    durable.sync_folder(path.parent)


@contextmanager
def _held(folder: Path, *, create: bool = True) -> Iterator[None]:
    """The folder's own lock, which the kernel gives back however the process ends."""
    while True:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            durable.lock(descriptor, wait=False)
            if _is_same(descriptor, folder):
                yield
                return
        except BlockingIOError:
            raise StoreBusyError(
                f"another process is working on {folder.name!r} ({folder}). Wait for it, or end it."
            ) from None
        finally:
            os.close(descriptor)


def _is_same(descriptor: int, folder: Path) -> bool:
    """Whether the folder is still there: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders' names: in one step where the system can (Linux 3.15), else in two.

    In between the two steps there is no model of that name, never half of one.
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        failed = errno.ENOSYS
    else:
        paths = os.fsencode(one), os.fsencode(other)
        done = renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0
        failed = 0 if done else ctypes.get_errno()
    if failed in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        old = one.with_name("old")
        other.rename(old)
        one.rename(other)
    elif failed:
        raise OSError(failed, os.strerror(failed), str(other))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        durable.sync(descriptor)
    finally:
        os.close(descriptor)
