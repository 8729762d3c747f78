"""A model whose next token is a function of what its KV cache holds, and steps over it.

The cache is a list of token ids, a slot each, and a row's logits are made of the tokens that it
reads there: one that reads a guess that was wrong, or nothing, says something else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch

from serve.engine.protocol import TokenLogprob
from serve.engine.transformers.draft_check import sample_segments
from serve.engine.transformers.guess_count import GuessCount
from serve.engine.transformers.sampler import Sampled
from serve.engine.transformers.scheduler import Scheduler
from serve.engine.transformers.sequence import Segment, SequenceState

VOCAB_SIZE = 12
Answer = tuple[list[int], list[TokenLogprob | None]]


class Steps:
    """Schedules, computes and accepts, as the step loop does.

    Args:
        forces_tokens: append tokens that a mask leaves no choice of.
    """

    def __init__(self, scheduler: Scheduler, *, forces_tokens: bool = True) -> None:
        self.scheduler = scheduler
        self.forces_tokens = forces_tokens
        self.num_steps = 0
        self.guesses = GuessCount()
        num_slots = scheduler.blocks.num_blocks * scheduler.block_size
        self._slots: list[int | None] = [None] * num_slots

    def answers(self, sequences: Sequence[SequenceState]) -> list[Answer]:
        """The tokens of every sequence, and their logprobs."""
        blocks = self.scheduler.blocks
        told: dict[SequenceState, Answer] = {sequence: ([], []) for sequence in sequences}
        for sequence in sequences:
            self.scheduler.submit(sequence)
        while self.scheduler.running or self.scheduler.waiting:
            segments = self.scheduler.schedule()
            assert segments
            self._check_budget(segments)
            pairs = self._computed(segments)
            self.scheduler.advance(segments)
            self.num_steps += 1
            self.guesses.add(segments, pairs)
            for sequence in dict.fromkeys(sequence for sequence, _ in pairs):
                tokens = [token for one, token in pairs if one is sequence]
                if self._accept(sequence, tokens, told[sequence]):
                    self.scheduler.remove(sequence)
        assert blocks.num_available == blocks.num_blocks
        return list(told.values())

    def _check_budget(self, segments: Sequence[Segment]) -> None:
        num_tokens = sum(segment.num_tokens for segment in segments)
        assert num_tokens <= self.scheduler.max_num_batched_tokens

    def _computed(self, segments: Sequence[Segment]) -> list[tuple[SequenceState, Sampled]]:
        size = self.scheduler.block_size
        for segment in segments:
            blocks = segment.sequence.block_ids
            for position, token_id in enumerate(segment.token_ids, segment.start):
                self._slots[blocks[position // size] * size + position % size] = token_id
        sampling = [segment for segment in segments if segment.samples]
        logits = []
        for segment in sampling:
            blocks = segment.sequence.block_ids
            for end in range(segment.end - len(segment.draft), segment.end + 1):
                held = [self._slots[blocks[at // size] * size + at % size] for at in range(end)]
                logits.append(next_logits(held))
        if not sampling:
            return []
        return sample_segments(torch.tensor(logits), sampling)

    def _accept(self, sequence: SequenceState, tokens: Sequence[Sampled], told: Answer) -> bool:
        for index, token in enumerate(tokens):
            if token.error is not None:
                raise token.error
            sequence.append(token.token_id, is_computed=index < len(tokens) - 1)
            told[0].append(token.token_id)
            told[1].append(token.logprob)
            if sequence.finish_reason is not None:
                return True
        for token_id in sequence.forced() if self.forces_tokens else ():
            sequence.append(token_id, is_forced=True)
            told[0].append(token_id)
            told[1].append(None)
            if sequence.finish_reason is not None:
                return True
        return False


def next_logits(held: Sequence[int | None]) -> list[float]:
    """The logits after these tokens: some runs of tokens are likely, so that answers repeat."""
    assert None not in held
    source = random.Random(hash(tuple(held[-3:])) if len(held) % 7 else hash(tuple(held)))
    logits = [source.gauss(0, 1) for _ in range(VOCAB_SIZE)]
    logits[source.randrange(VOCAB_SIZE)] += 4
    return logits


class Scripted:
    """A lookup that guesses right and wrong by a script.

    Args:
        right: the tokens that will come after the prompt.
        script: for each step, how many guesses are right, and how many wrong ones follow.
    """

    def __init__(
        self, right: Callable[[], Sequence[int]], script: Sequence[tuple[int, int]]
    ) -> None:
        self._right, self._script = right, script
        self._num_steps = 0

    def guesses(self, token_ids: Sequence[int], most: int, num_running: int) -> list[int]:
        del num_running
        num_right, num_wrong = self._script[self._num_steps % len(self._script)]
        self._num_steps += 1
        ahead = list(self._right()[len(token_ids) :])
        guessed = ahead[:num_right]
        guessed += [(token + 1) % VOCAB_SIZE for token in ahead[num_right : num_right + num_wrong]]
        return guessed[:most]

    def learn(self, num_guesses: int, num_right: int) -> None:
        pass
