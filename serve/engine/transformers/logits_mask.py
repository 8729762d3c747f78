"""The hook by which a sequence's completion is held to a language: which tokens may come next.

The sampler applies the mask of a sequence to its logits, the step loop tells it of every token that
was chosen, and asks which ones can only follow. ``grammar_mask.py`` has the one that is made of a
``Grammar``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch  # the scheduler, which holds masks, needs none


class RowMask(Protocol):
    """The tokens that may come at one place. An exception ends the stream."""

    def prepare(self) -> None:
        """Compute what ``apply`` will need. From any thread, while nothing else is called."""
        ...

    def allows(self, token_id: int) -> bool:
        """Whether ``apply`` would leave this token."""
        ...

    def apply(self, logits: torch.Tensor) -> None:
        """Set the logits of all tokens that may not come next to -inf, in place.

        At least one token has to be left, at the end of the language a stop token. Changes nothing
        in the mask's own state: a step that is computed again asks again.

        Args:
            logits: ``[V]`` float32, after penalties and bias, before temperature.
        """
        ...


class LogitsMask(RowMask, Protocol):
    """The state of one sequence. Called by the step thread only; an exception ends its stream."""

    def accept(self, token_id: int) -> None:
        """Go on past a token that was chosen, stop tokens included. In order, each once."""
        ...

    def ahead(self, token_ids: Sequence[int]) -> Sequence[RowMask]:
        """Masks of what may come after each of these tokens, as far as these may come themselves.

        Goes on past none of them. The masks are asked before the next ``accept`` alone.
        """
        ...

    def forced(self) -> Sequence[int]:
        """The next tokens, as far as ``apply`` would leave no other; none at the language's end."""
        ...

    def close(self) -> None:
        """The sequence is over, for whatever reason. Idempotent."""
        ...
