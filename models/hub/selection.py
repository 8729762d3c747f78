"""Choice of a repository's files by their names: those that models/policy.py allows, once each.

Repositories hold the same weights several times (``pytorch_model.bin``, ``original/``,
``consolidated.safetensors``, ``onnx/``). One copy is taken: the safetensors at the top.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from models import policy
from models.errors import ModelRefusedError, OriginError
from models.hub.origins import KEPT, Listing, OriginFile
from models.rules import names

SECOND_COPIES = ("consolidated", "pytorch_model")
SMALL_BYTES = 16 << 20
"""Files up to that size are fetched first and looked at before the weights are."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The files that are taken, and those that are not with the reason (``path: reason``)."""

    chosen: tuple[OriginFile, ...]
    skipped: tuple[str, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of the files that are taken."""
        return sum(file.size for file in self.chosen)


def select(listing: Listing, *, where: str) -> Selection:
    """Choose.

    Args:
        listing: all files. With a manifest of its own, all are taken or none.
        where: what messages call the origin.

    Raises:
        ModelRefusedError: a path that leads elsewhere, or two that are one on some systems.
        OriginError: there are no safetensors, or too many files.
    """
    _check_names(file.path for file in listing.files)
    reasons = [(file, _reason(file.path)) for file in listing.files]
    skipped = tuple(f"{file.path}: {reason}" for file, reason in reasons if reason)
    chosen = tuple(file for file, reason in reasons if reason is None)
    if listing.manifest is not None and skipped:
        raise ModelRefusedError(
            f"the manifest of {where} lists what a model folder may not hold:\n  "
            + "\n  ".join(skipped)
        )
    if not any(file.path.endswith(".safetensors") for file in chosen):
        raise OriginError(
            f"{where} holds no safetensors, so there are no weights to take. It holds: "
            f"{', '.join(file.path for file in listing.files[:8]) or 'nothing'}. "
            "Look for a repository of the same model that has them."
        )
    if len(chosen) > policy.MAX_FILES:
        raise OriginError(f"{where} holds {len(chosen):,} files; at most {policy.MAX_FILES:,}.")
    return Selection(chosen, skipped)


def _check_names(paths: Iterable[str]) -> None:
    seen = list(paths)
    for path in seen:
        fault = names.fault(path)
        if fault:
            raise ModelRefusedError(f"the origin lists the file {path!r}, whose name {fault}.")
    clash = names.clash(seen)
    if clash or len(set(seen)) < len(seen):
        raise ModelRefusedError(f"the origin lists two files of one name: {clash or 'twice'}.")


def _reason(text: str) -> str | None:
    """The reason why this file is not taken; None for one that is."""
    path = PurePosixPath(text)
    name, suffix = path.name.lower(), path.suffix.lower()
    if text in KEPT:
        return "we write our own"
    if any(part.startswith(".") for part in path.parts):
        return "hidden files are not part of a model"
    if len(path.parts) > policy.MAX_DEPTH:
        return f"more than {policy.MAX_DEPTH} folders deep"
    if suffix in policy.SUFFIX_RULES:
        return policy.SUFFIX_RULES[suffix][0]
    if suffix not in policy.ALLOWED and name not in policy.ALLOWED_NAMES:
        return "not a kind of file that a model may hold"
    is_elsewhere = len(path.parts) > 1 and (suffix == ".safetensors" or path.parts[0] == "original")
    if is_elsewhere or name.startswith(SECOND_COPIES):
        return "a second copy of the weights"
    return None
