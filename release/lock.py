"""A lock file of requirements/, read: which packages of which versions, with which hashes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from models import plain_file
from release.errors import ReleaseError

MAX_BYTES = 16 << 20
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One package.

    Attributes:
        name: in its normal form.
        version: exact.
        hashes: SHA-256 of each of its files that may be installed.
    """

    name: NormalizedName
    version: str
    hashes: frozenset[str]


def read(path: Path) -> list[Locked]:
    """The packages of a lock that are for this platform.

    Raises:
        ReleaseError: it cannot be read, or a line of it pins no version or no hash.
    """
    joined = re.sub(r"\s*\\\n\s*", " ", text_of(path))
    lines = [line.split(" #", 1)[0].strip() for line in joined.splitlines()]
    packages = [_locked(path, line) for line in lines if line and not line.startswith("#")]
    return [locked for locked in packages if locked is not None]


def text_of(path: Path) -> str:
    """A lock's text.

    Raises:
        ReleaseError: it cannot be read.
    """
    try:
        return plain_file.read_text(path, MAX_BYTES, may_be_link=True)
    except OSError as error:
        raise ReleaseError(
            f"the lock {path} cannot be read: {error.strerror or error}. Name one with --lock."
        ) from None


def _locked(path: Path, line: str) -> Locked | None:
    """None for a package that is not for this platform."""
    try:
        requirement = Requirement(line.split(" --hash", 1)[0])
    except InvalidRequirement as error:
        raise ReleaseError(f"the lock {path} has a line that is none: {error}") from None
    versions = [clause.version for clause in requirement.specifier if clause.operator == "=="]
    hashes = frozenset(_HASH.findall(line))
    if len(versions) != 1 or not hashes:
        raise ReleaseError(f"the lock {path} pins no version or no hash of {requirement.name}.")
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    return Locked(name=canonicalize_name(requirement.name), version=versions[0], hashes=hashes)
