"""Guessed tokens that are computed with a sequence's own, and what the step makes of them.

The row of a sequence's last token is sampled as ever. The row of each guess is sampled as it will
be if all guesses up to it are right, with the draw that its token will have then: so the tokens
that are kept, their logprobs and all later draws are those of a run without guesses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from serve.engine.protocol import EngineRequest
    from serve.engine.transformers.logits_mask import RowMask
    from serve.engine.transformers.sampled_row import SampledRow
    from serve.engine.transformers.sequence import Segment, SequenceState
    from serve.errors import RequestError


@dataclass(frozen=True, slots=True)
class Draft:
    """Guesses of what follows a sequence's tokens.

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


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A sequence as it will be once the first guesses of its draft are right. A ``SampledRow``.

    Attributes:
        num_right: as many guesses; at least 1.
    """

    sequence: SequenceState
    draft: Draft
    num_right: int

    @property
    def request(self) -> EngineRequest:
        return self.sequence.request

    @property
    def stop_token_ids(self) -> frozenset[int]:
        return self.sequence.stop_token_ids

    @property
    def token_ids(self) -> Sequence[int]:
        return [*self.sequence.token_ids, *self.draft.token_ids[: self.num_right]]

    @property
    def num_prompt_tokens(self) -> int:
        return self.sequence.num_prompt_tokens

    @property
    def num_generated(self) -> int:
        return self.sequence.num_generated + self.num_right

    @property
    def mask(self) -> RowMask | None:
        return self.draft.masks[self.num_right - 1] if self.draft.masks else None

    @property
    def is_greedy(self) -> bool:
        return self.sequence.is_greedy

    def draw(self) -> float:
        # The sequence's own row, which comes before, has made its draw by now.
        return 0.0 if self.is_greedy else self.sequence.draws.peek(self.num_right - 1)


class _Sampled(Protocol):
    @property
    def token_id(self) -> int: ...
    @property
    def error(self) -> RequestError | None: ...


_Token = TypeVar("_Token", bound=_Sampled)


def rows(segments: Sequence[Segment]) -> list[SampledRow]:
    """The rows of the segments that sample, in the order of their logits."""
    return [row for segment in segments for row in _rows(segment)]


def _rows(segment: Segment) -> Iterator[SampledRow]:
    yield segment.sequence
    for num_right in range(1, len(segment.draft) + 1):
        yield DraftRow(segment.sequence, segment.draft, num_right)


def kept(
    segments: Sequence[Segment], sampled: Sequence[_Token]
) -> list[tuple[SequenceState, _Token]]:
    """The tokens that follow each sequence: those of a run without guesses, and their draws made.

    Args:
        segments: those that sample.
        sampled: one for each of their ``rows``.
    """
    pairs: list[tuple[SequenceState, _Token]] = []
    tokens = iter(sampled)
    for segment in segments:
        own, *others = (next(tokens) for _ in range(1 + len(segment.draft)))
        sequence, last = segment.sequence, own
        pairs.append((sequence, own))
        for guess, token in zip(segment.draft.token_ids, others, strict=True):
            # An error is left to the step that has no guesses before it.
            if last.token_id != guess or token.error is not None:
                break
            sequence.draw()
            pairs.append((sequence, token))
            last = token
    return pairs
