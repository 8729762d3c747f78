"""Sampling the rows of sequences and of their guesses, as far as the guesses are right.

The row of a sequence's last token is sampled as ever. The row of each guess is sampled once all
guesses up to it have proved right, and as the sequence is then: with its history, its mask and its
next draw. So the tokens, their logprobs and all later draws are those of a run without guesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from serve.engine.protocol import EngineRequest
from serve.engine.transformers.draft import Draft
from serve.engine.transformers.logits_mask import RowMask
from serve.engine.transformers.sampled_row import SampledRow
from serve.engine.transformers.sampler import Sampled, sample
from serve.engine.transformers.sequence import Segment, SequenceState


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A sequence as it is once the first guesses of its draft are right. A ``SampledRow``.

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
        return self.sequence.draw()


def sample_segments(
    logits: torch.Tensor, segments: Sequence[Segment]
) -> list[tuple[SequenceState, Sampled]]:
    """The tokens that follow each sequence: one, and one more for each guess that is right.

    Those of a sequence come one after the other.

    Args:
        logits: ``[B, V]``, any float type; overwritten. Of each segment the row of its last token,
            then those of its guesses.
        segments: those that sample.
    """
    if not any(segment.draft for segment in segments):
        sequences = [segment.sequence for segment in segments]
        return list(zip(sequences, sample(logits, sequences), strict=True))
    first_rows, row = [], 0
    for segment in segments:
        first_rows.append(row)
        row += 1 + len(segment.draft)
    told: list[list[Sampled]] = [[] for _ in segments]
    going, num_right = list(range(len(segments))), 0
    while going:
        rows = [_row(segments[index], num_right) for index in going]
        places = torch.tensor([first_rows[index] + num_right for index in going])
        tokens = sample(logits[places.to(logits.device)], rows)
        reached, going = going, []
        for index, token in zip(reached, tokens, strict=True):
            # The error after a guess is left to a step without guesses: what is right goes first.
            if token.error is None or not num_right:
                told[index].append(token)
            guesses = segments[index].draft.token_ids
            if num_right < len(guesses) and token.token_id == guesses[num_right]:
                going.append(index)
        num_right += 1
    return [
        (segment.sequence, token)
        for segment, tokens in zip(segments, told, strict=True)
        for token in tokens
    ]


def _row(segment: Segment, num_right: int) -> SampledRow:
    if not num_right:
        return segment.sequence
    return DraftRow(segment.sequence, segment.draft, num_right)
