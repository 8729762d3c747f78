"""The guesses of all steps, counted, and each sequence told of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from serve.engine.transformers.sequence import Segment, SequenceState


class GuessCount:
    """Counts of one engine.

    Attributes:
        num_guessed: guesses that were checked.
        num_right: of these, those that were right.
    """

    def __init__(self) -> None:
        self.num_guessed = 0
        self.num_right = 0

    def add(
        self, segments: Sequence[Segment], sampled: Sequence[tuple[SequenceState, object]]
    ) -> None:
        """Take in a step.

        Args:
            segments: of the step.
            sampled: a sequence for each token that it said.
        """
        drafts = [segment for segment in segments if segment.draft]
        if not drafts:
            return
        num_tokens = Counter(sequence for sequence, _ in sampled)
        for segment in drafts:
            num_right = num_tokens[segment.sequence] - 1
            segment.sequence.learn(len(segment.draft), num_right)
            self.num_guessed += len(segment.draft)
            self.num_right += num_right
