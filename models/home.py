"""The user's home directory, which containers and unknown users do not have."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from models.errors import HomelessError

FOLDER = "intramural"


def home() -> Path | None:
    """The home directory: HOME, else that of the user's passwd entry; None without both."""
    stated = Path(os.environ.get("HOME", ""))
    if stated.is_absolute():
        return stated
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def xdg(variable: str, fallback: str) -> Path:
    """A directory of ours under an XDG base directory (freedesktop.org basedir-spec 0.8).

    Raises:
        HomelessError: the variable names none, and this user has no home directory.
    """
    base = Path(os.environ.get(variable, ""))
    if base.is_absolute():  # the specification has others ignored
        return base / FOLDER
    found = home()
    if found is None:
        raise HomelessError(
            f"This user has no home directory. Set HOME or {variable}; or INTRAMURAL_DATA_DIR "
            "(--data-dir) and, for the server, INTRAMURAL_STATE_DIR (--state-dir)."
        )
    return found / fallback / FOLDER


def expanded(path: Path) -> Path:
    """The path with ``~`` in place.

    Raises:
        HomelessError: there is no home directory to put there.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise HomelessError(
            f"{path} names a home directory, and there is none of that user. Give the whole path."
        ) from None


def hub_cache() -> Path | None:
    """Hugging Face's cache, where huggingface_hub has it; None without a home directory."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return expanded(Path(os.environ[variable]))
    if os.environ.get("HF_HOME"):
        return expanded(Path(os.environ["HF_HOME"])) / "hub"
    base, found = os.environ.get("XDG_CACHE_HOME"), home()
    if base:
        return expanded(Path(base)) / "huggingface" / "hub"
    return None if found is None else found / ".cache/huggingface/hub"
