"""The nouns of this package: ModelRef (where from), Scheme (how stored), Artifact (what here).

Plain values: nothing here touches the disk or the network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self, TypeAlias

from models.errors import InvalidRefError

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_REPO = re.compile(rf"{_NAME}/{_NAME}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")

DEFAULT_REVISION = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A model repository and a revision of it.

    Attributes:
        repo: ``owner/name``.
        revision: a branch, a tag, or a commit; only a commit always means the same files.
    """

    repo: str
    revision: str = DEFAULT_REVISION

    def __post_init__(self) -> None:
        """Raises InvalidRefError: the parts would not survive as a path or in an address."""
        if not _REPO.fullmatch(self.repo) or ".." in self.repo or "--" in self.repo:
            raise InvalidRefError(
                f"{self.repo!r} is not a model repository. Write owner/name, of letters, digits, "
                "'.', '_' and '-'; for a folder write an absolute path or ./folder."
            )
        if not _REVISION.fullmatch(self.revision) or ".." in self.revision:
            raise InvalidRefError(
                f"{self.revision!r} is not a revision. Write a branch, a tag or a commit."
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reference written as ``owner/name`` or ``owner/name@revision``.

        Raises:
            InvalidRefError: it is neither.
        """
        repo, at, revision = text.partition("@")
        return cls(repo=repo, revision=revision if at else DEFAULT_REVISION)

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a full commit."""
        return _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}"


class QuantScheme(StrEnum):
    """The way the linear layers' weights are stored, and computed with.

    ``none`` is the checkpoint's own type (bfloat16 for most). The last two are bitsandbytes', the
    others compressed-tensors'.
    """

    NONE = "none"
    INT8 = "int8"  # weights in 8 bits, a scale for each group (W8A16)
    INT8_WEIGHT_ONLY = "int8-weight-only"  # the same with a scale for each row
    INT8_W8A8 = "int8-w8a8"  # activations too, a scale for each token
    INT4 = "int4"  # weights in 4 bits, in groups; some layers in 8 (W4A16)
    FP8 = "fp8"
    NF4 = "nf4"
    BNB_INT8 = "bnb-int8"


class OtherScheme(StrEnum):
    """Weights that another tool quantised. Nothing here makes them; vLLM reads some."""

    AWQ = "awq"
    GPTQ = "gptq"
    FP8_TENSOR = "fp8-tensor"  # transformers' and vLLM's "fp8": a scale for each matrix
    FP8_BLOCK = "fp8-block"  # the same method, a scale for each block of 128 by 128
    FBGEMM_FP8 = "fbgemm-fp8"
    MODELOPT_FP8 = "modelopt-fp8"
    MXFP4 = "mxfp4"
    BITSANDBYTES = "bitsandbytes"  # in another of its forms than the two of QuantScheme


Scheme: TypeAlias = QuantScheme | OtherScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A model folder on this machine that passed models/policy.py.

    Attributes:
        name: the alias, or the folder's name.
        path: the folder, absolute.
        scheme: as its config.json says.
        ref: where it came from, when that is known; None for a folder that someone placed.
        marks: size, times and inode of each file, from before any was read; None where nobody
            looked (models/trust/unchanged.py).
    """

    name: str
    path: Path
    scheme: Scheme = QuantScheme.NONE
    ref: ModelRef | None = None
    marks: Mapping[str, tuple[int, int, int, int]] | None = field(
        default=None, repr=False, compare=False
    )
