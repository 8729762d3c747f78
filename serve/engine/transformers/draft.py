"""Guesses of what follows a sequence's tokens, computed with them in one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serve.engine.transformers.logits_mask import RowMask


@dataclass(frozen=True, slots=True)
class Draft:
    """A step's guesses for one sequence.

    Attributes:
        token_ids: the guesses.
        masks: of the token after each guess; empty for a sequence without a mask.
    """

    token_ids: tuple[int, ...] = ()
    masks: tuple[RowMask, ...] = ()

    def __len__(self) -> int:
        return len(self.token_ids)

    def first(self, count: int) -> Draft:
        """The same with so many guesses, or as many as there are."""
        return self if count >= len(self) else Draft(self.token_ids[:count], self.masks[:count])


NO_DRAFT = Draft()
