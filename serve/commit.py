"""The commit of these sources: written into a wheel when it is built, or read from a checkout.

Git's own files are read, no program is run: a server starts none, and needs no git. setup.py uses
this module, too; so it imports nothing but the standard library.
"""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
BAKED = "commit.txt"
"""Beside this module in a wheel; setup.py writes it."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def is_commit(text: str) -> bool:
    """Whether this is a commit in full: 40 hexadecimal digits, or 64."""
    return _COMMIT.fullmatch(text) is not None


def of_package(package: Path = PACKAGE) -> str | None:
    """The commit that this package was built from, or that its checkout is at; None if unknown."""
    baked = _first_line(package / BAKED)
    if baked is not None:
        return baked if is_commit(baked) else None
    return of_checkout(package.parent)


def of_checkout(root: Path) -> str | None:
    """The commit of the checkout at ``root``; None where it is none. Changed files are not seen."""
    git = root / ".git"
    if (pointer := _first_line(git)) is not None:  # a worktree's: a file that says where
        git = root / pointer.removeprefix("gitdir:").strip()
    head = _first_line(git / "HEAD")
    if head is None:
        return None
    if not head.startswith("ref:"):
        return head if is_commit(head) else None
    name = head.removeprefix("ref:").strip()
    shared = git / (_first_line(git / "commondir") or ".")
    commit = _first_line(git / name) or _first_line(shared / name) or _packed(shared, name)
    return commit if commit is not None and is_commit(commit) else None


def _packed(git: Path, name: str) -> str | None:
    """The commit of a reference that git has put into its one file of many."""
    try:
        lines = (git / "packed-refs").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    return next((line.split(" ")[0] for line in lines if line.endswith(f" {name}")), None)


def _first_line(path: Path) -> str | None:
    """Without its end; None where there is no such file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(4096).strip() or None
    except OSError:
        return None
