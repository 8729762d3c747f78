"""Private files: secrets, and hashes of them, that nobody but the server's user may read or write.

Their mode is 0600, or root's and 0440, as in a volume of Kubernetes; a link may not lead out of its
folder, whose owner could put other contents there.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

from models import private_file
from serve.errors import StartupError


def read_private(path: Path, label: str, max_bytes: int, *, if_missing: str) -> str:
    """The text of a file that is closed to others.

    Args:
        label: names the file in refusals ("API key file").
        if_missing: the advice where there is no file; a sentence.

    Raises:
        StartupError: it is missing, open to others, too large, or no plain file of UTF-8 text.
    """
    with explained(path, label, if_missing):
        try:
            return private_file.read_as_text(path, max_bytes)
        except private_file.OpenToOthersError as error:
            raise StartupError(
                f"{label} {path} has mode {error.mode:04o}: group or others may use it. "
                f"Run: chmod 600 {path} (on a file system that keeps no modes, such as vfat, "
                "CIFS or WSL's drives, that changes nothing: keep the file on another)."
            ) from None


def check_not_writable(path: Path) -> None:
    """Refuse a file that others could change: not secret, but whoever writes it decides who is in.

    Raises:
        OSError: it is not there.
        ValueError: group or others may write it.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o022:
        raise ValueError(f"it has mode {mode:04o}, group or others may write it: chmod go-w")


@contextlib.contextmanager
def explained(path: Path, label: str, if_missing: str) -> Iterator[None]:
    """Turn the system's errors about a file into a StartupError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise StartupError(f"{label} {path} is not there. {if_missing}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        if reason.startswith(("is ", "has ")):
            reason = f"it {reason}"
        raise StartupError(f"{label} {path} cannot be used: {reason}") from None
