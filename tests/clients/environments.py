"""A virtual environment for each client: clients pin each other's libraries differently."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from serve.environment import xdg

REQUIREMENTS = Path(__file__).parent / "requirements"
JAVASCRIPT = Path(__file__).parent / "javascript"
TIMEOUT_S = 1800


class NotInstalled(RuntimeError):
    """A client could not be had; the message says why."""


def cache() -> Path:
    """Where environments stay; may be removed at any time."""
    return xdg("XDG_CACHE_HOME", ".cache") / "test-clients"


def python_of(client: str) -> Path:
    """The interpreter of a client's environment, which is made unless it is there.

    Args:
        client: a name of ``requirements/NAME.txt``; another is of our own environment.

    Raises:
        NotInstalled: pip did not install it.
    """
    locked = REQUIREMENTS / f"{client}.txt"
    if not locked.is_file():
        return Path(sys.executable)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    target = cache() / f"{client}-{version}-{_digest(locked)}"
    if not target.is_dir():
        _make(target, lambda at: _install(at, locked))
    return target / "bin" / "python"


def modules_of_javascript() -> Path:
    """The folder with the scripts of ``javascript/`` and the packages that they import.

    Raises:
        NotInstalled: npm did not install them.
    """
    target = cache() / f"javascript-{_digest(JAVASCRIPT / 'package-lock.json')}"
    if not target.is_dir():
        _make(target, _install_javascript)
    for script in JAVASCRIPT.glob("*.mjs"):
        shutil.copy(script, target)
    return target


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _make(target: Path, install: Callable[[Path], None]) -> None:
    """Whole or not at all: an environment is found by its place, so that it can be moved."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / "made"
        install(made)
        made.rename(target)


def _install(venv: Path, locked: Path) -> None:
    _run(sys.executable, "-m", "venv", str(venv))
    _run(
        *(str(venv / "bin" / "python"), "-m", "pip", "install", "-q"),
        *("--no-deps", "--require-hashes", "-r", str(locked)),
    )


def _install_javascript(folder: Path) -> None:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(JAVASCRIPT / name, folder)
    _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder))


def _run(*command: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, env=kept
    )
    if ended.returncode:
        words = ended.stderr.strip().splitlines()[-5:]
        raise NotInstalled(f"{' '.join(command[:5])}: {' '.join(words)}")
