"""The use that a request makes of the response cache, as its client says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """A client's wish; a server without a cache has nothing to heed it with.

    Attributes:
        reads: a kept answer will do.
        writes: its own answer may be kept.
        max_age_s: whole seconds that a kept answer may be old; None is as old as there are.
    """

    reads: bool = True
    writes: bool = True
    max_age_s: int | None = None


USUAL: Final = CacheUse()
