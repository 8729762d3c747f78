"""The logs that a witness knows, as the files of their public keys have them now.

New logs of a rollout and keys that were rotated are known without a restart. A file or folder that
cannot be used any more is told, and what was known of it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from serve import timeline
from serve.governance.audit.tlog.key_files import PUBLIC_SUFFIX
from serve.governance.audit.tlog.keys import NoteVerifier
from serve.governance.followed_file import FollowedFile, signature_of

Read = Callable[[Path], Sequence[NoteVerifier]]
"""Reads the keys of a file, or of a folder of them. Raises StartupError."""


class FollowedKeys:
    """Public keys of logs, in files and folders that are followed.

    Args:
        paths: files, or folders of files whose names end in ``.pub``.
        read: reads one of them.
        clock: monotonic seconds.

    Raises:
        StartupError: one cannot be used.
    """

    def __init__(
        self, paths: Sequence[Path], read: Read, *, clock: Callable[[], float] = timeline.now
    ) -> None:
        self._files = [
            FollowedFile(path, read, f"log keys {path}", sign=_signature, clock=clock)
            for path in paths
        ]

    @property
    def keys(self) -> tuple[NoteVerifier, ...]:
        """The keys in force, each once; a change is noticed within a second."""
        return tuple(dict.fromkeys(key for file in self._files for key in file.content))

    def reload(self) -> None:
        """Read all of them at once, changed or not."""
        for file in self._files:
            file.follow(always=True)


def _signature(path: Path) -> object:
    """A value that changes when the file does, or one of the folder's; None where it is away."""
    try:
        if not path.is_dir():
            return signature_of(path)
        files = sorted(path.glob(f"*{PUBLIC_SUFFIX}"))
    except OSError:  # of a network's disk, say: reading it says what is wrong
        return None
    return tuple((file.name, signature_of(file)) for file in files)
