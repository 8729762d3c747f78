"""Logprobs of a prompt's own tokens, chunk by chunk as it is computed."""

from __future__ import annotations

import torch

from serve.engine.protocol import TokenLogprob
from serve.engine.transformers.sequence import Segment, SequenceState

_MOST_BYTES = 80e6


def most_rows(vocab_size: int) -> int:
    """Tokens of one chunk of such a prompt: their logits in float32 stay below 80 MB."""
    return max(1, int(_MOST_BYTES / (4 * vocab_size)))


def is_wanted_of(segment: Segment) -> bool:
    """Whether it is part of a prompt whose logprobs its request wants, told already or not."""
    wanted = segment.sequence.request.sampling.num_prompt_logprobs
    return wanted is not None and not segment.is_decode


def rows_of(segment: Segment) -> int:
    """Rows of a segment, its first ones, whose logits say how likely the prompt's next token was.

    None where they are known already, as after a preemption.
    """
    known = segment.sequence.prompt_logprobs
    end = min(segment.end, segment.sequence.num_prompt_tokens - 1)
    return 0 if known is None or end < len(known) else end - segment.start


def add(sequence: SequenceState, start: int, logits: torch.Tensor) -> None:
    """Add those of the tokens after ``start``, unless they are there.

    Args:
        sequence: one with ``prompt_logprobs``.
        start: the position of the first row's token.
        logits: ``[R, V]`` float32, of the prompt's tokens from ``start`` on.
    """
    known = sequence.prompt_logprobs
    if known is None:
        return
    skipped = max(0, len(known) - 1 - start)
    logits = logits[skipped:]
    start += skipped
    if not len(logits):
        return
    next_ids = sequence.token_ids[start + 1 : start + 1 + len(logits)]
    chosen = torch.tensor(next_ids, device=logits.device)[:, None]  # [R, 1]
    logprobs = logits.log_softmax(-1)
    values = logprobs.gather(-1, chosen)  # [R, 1]
    ranks = (logprobs > values).sum(-1) + 1  # [R]
    count = sequence.request.sampling.num_prompt_logprobs or 0
    top_values, top_ids = logprobs.topk(max(1, count))
    for row, token_id in enumerate(next_ids):
        top = zip(top_ids[row, :count].tolist(), top_values[row, :count].tolist(), strict=True)
        known.append(
            TokenLogprob(token_id, float(values[row, 0]), tuple(top), rank=int(ranks[row]))
        )
