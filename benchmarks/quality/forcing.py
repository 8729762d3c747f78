"""Teacher forcing through the transformers engine's own runner: whole distributions, as served.

The given tokens go through the prefill path and every scored token through the decode path, many
sequences to a step, exactly as when the server answers: what the kernels round, the activations'
quantisation included, is in the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from benchmarks.quality.sequences import Forced, first_rows
from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers.engine import TransformersEngine
from serve.engine.transformers.kv_cache import BLOCK_SIZE
from serve.engine.transformers.sequence import Segment, SequenceState

TOGETHER = 16
"""Most sequences in a step: as many as the compiled decode takes, and enough to be quick."""
_CHUNK = 512
"""Most given tokens in one forward; the server's own default."""

Step = tuple[list[int], torch.Tensor]
"""Rows (numbers of scored tokens, over all sequences) and their logits ``[B, V]``."""


@dataclass(slots=True, kw_only=True)
class _Running:
    """A sequence on its way, and the row of its first scored token."""

    state: SequenceState
    forced: Forced
    first_row: int
    num_scored: int = 0


def kv_tokens(longest: int) -> int:
    """Tokens of KV cache for ``TOGETHER`` sequences of at most this length."""
    return TOGETHER * -(-longest // BLOCK_SIZE) * BLOCK_SIZE


def forced_logits(engine: TransformersEngine, sequences: Sequence[Forced]) -> Iterator[Step]:
    """The logits at every scored token, step by step; which rows a step has depends on nothing
    but the sequences, so that two engines can go side by side.

    Args:
        engine: without an open stream, of at least ``TOGETHER`` sequences.
        sequences: in any order.

    Raises:
        ValueError: a sequence is longer than the engine's context, or its cache is too small.
    """
    longest = max(len(sequence.given) + len(sequence.scored) for sequence in sequences)
    if longest > engine.info.max_model_len:
        raise ValueError(
            f"a sequence of {longest} tokens: the engine's context holds "
            f"{engine.info.max_model_len}. Take a smaller --window."
        )
    if kv_tokens(longest) > engine.info.kv_cache_tokens:
        raise ValueError(
            f"{TOGETHER} sequences of {longest} tokens: the engine's cache holds "
            f"{engine.info.kv_cache_tokens} tokens. Take a smaller --window."
        )
    rows = first_rows(sequences)
    # Sequences of one length together, so that none waits for a longer one.
    order = sorted(range(len(sequences)), key=lambda number: len(sequences[number].scored))
    for at in range(0, len(order), TOGETHER):
        chosen = order[at : at + TOGETHER]
        yield from _batch(engine, [(sequences[number], rows[number]) for number in chosen])


def _batch(engine: TransformersEngine, chosen: Sequence[tuple[Forced, int]]) -> Iterator[Step]:
    running, free = [], 0
    for forced, first_row in chosen:
        size = -(-(len(forced.given) + len(forced.scored)) // BLOCK_SIZE)
        running.append(_begun(forced, first_row, list(range(free, free + size))))
        free += size
    for sequence in running:
        yield [sequence.first_row], _prefill(engine, sequence)
    while alive := [
        sequence for sequence in running if sequence.num_scored < len(sequence.forced.scored)
    ]:
        for sequence in alive:
            sequence.state.token_ids.append(sequence.forced.scored[sequence.num_scored - 1])
        # A plan puts shorter contexts first, and its logits with them; in this order they are.
        alive.sort(key=lambda sequence: len(sequence.state.token_ids))
        logits = engine.runner.logits(
            [Segment(sequence.state, len(sequence.state.token_ids) - 1, 1) for sequence in alive]
        )
        rows = [sequence.first_row + sequence.num_scored for sequence in alive]
        for sequence in alive:
            sequence.num_scored += 1
        yield rows, logits


def _begun(forced: Forced, first_row: int, blocks: list[int]) -> _Running:
    request = EngineRequest(
        request_id=f"forced-{first_row}",
        prompt_token_ids=forced.given,
        sampling=SamplingParams(max_tokens=len(forced.scored), temperature=0),
    )
    state = SequenceState(request=request, stop_token_ids=frozenset(), block_ids=blocks)
    return _Running(state=state, forced=forced, first_row=first_row)


def _prefill(engine: TransformersEngine, sequence: _Running) -> torch.Tensor:
    """Logits ``[1, V]`` after the given tokens."""
    length, at = len(sequence.forced.given), 0
    while True:
        size = min(_CHUNK, length - at)
        logits = engine.runner.logits([Segment(sequence.state, at, size)])
        at += size
        if at == length:
            sequence.num_scored = 1
            return logits
