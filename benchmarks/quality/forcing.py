"""Teacher forcing through the transformers engine's own runner: whole distributions, as served.

The given tokens go through the prefill path and every scored token through the decode path, many
sequences to a step, exactly as when the server answers: what the kernels round, the activations'
quantisation included, is in the figures. The base model's logits wait in a file, so that the two
models are never in memory together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.quality.formulas import Rows, compare, joined
from benchmarks.quality.sequences import Forced
from serve.engine.batching.batcher import Segment
from serve.engine.batching.kv_cache import BLOCK_SIZE
from serve.engine.batching.sequence import SequenceState
from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers_engine import TransformersEngine

LOGIT_BYTES = 4
"""The runner's logits are float32."""
_CHUNK = 512
"""Most given tokens in one forward; the server's own default."""

Report = Callable[[int], None]


@dataclass(slots=True, kw_only=True)
class _Running:
    """A sequence on its way, and the row of its first scored token."""

    state: SequenceState
    forced: Forced
    first_row: int
    num_scored: int = 0


@dataclass(slots=True, kw_only=True)
class Spilled:
    """The base model's logits ``[N, V]`` in a file, mapped into memory."""

    path: Path
    logits: torch.Tensor | None = field(default=None)

    def put(self, rows: Sequence[int], logits: torch.Tensor, total: int) -> None:
        """Keep the logits of these rows, of ``total`` in all."""
        if self.logits is None:
            vocab = logits.shape[-1]
            flat = torch.from_file(
                str(self.path), shared=True, size=total * vocab, dtype=logits.dtype
            )
            self.logits = flat.view(total, vocab)
        self.logits[list(rows)] = logits.cpu()

    def get(self, rows: Sequence[int]) -> torch.Tensor:
        """The logits of these rows.

        Raises:
            ValueError: nothing has been put.
        """
        if self.logits is None:
            raise ValueError("no logits of the base model have been kept")
        return self.logits[list(rows)]


def spill(
    engine: TransformersEngine, sequences: Sequence[Forced], path: Path, report: Report
) -> Spilled:
    """The base model's logits at every scored token.

    Args:
        engine: idle.
        sequences: each must fit into the engine's context.
        path: a file to make; it holds N * V numbers in float32.
        report: told of the bytes of logits as they are done.
    """
    kept = Spilled(path=path)
    total = sum(len(sequence.scored) for sequence in sequences)
    for rows, logits in forced_logits(engine, sequences):
        kept.put(rows, logits, total)
        report(logits.nbytes)
    return kept


def compared(
    engine: TransformersEngine, sequences: Sequence[Forced], base: Spilled, report: Report
) -> Rows:
    """The quantised model against the kept logits, in the order of the scored tokens.

    Raises:
        ValueError: the models' vocabularies differ, or one computes no numbers.
    """
    tokens = torch.tensor([token for sequence in sequences for token in sequence.scored])
    parts, places = [], []
    for rows, logits in forced_logits(engine, sequences):
        with _one_thread():
            parts.append(compare(base.get(rows), logits.cpu(), tokens[list(rows)]))
        places += rows
        report(logits.nbytes)
    order = torch.tensor(places).argsort()
    found = joined(parts)
    return Rows(
        base_nll=found.base_nll[order],
        quantised_nll=found.quantised_nll[order],
        kl=found.kl[order],
        same_top=found.same_top[order],
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many short operations: on a busy machine, threads that wait for each other at every one of
    them took 30 times as long as a single thread (Machine A of the lab notes, load 6).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def forced_logits(
    engine: TransformersEngine, sequences: Sequence[Forced]
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Rows (numbers of scored tokens, over all sequences) and their logits ``[B, V]``.

    Raises:
        ValueError: a sequence is longer than the engine's context.
    """
    first_rows, row = [], 0
    for sequence in sequences:
        first_rows.append(row)
        row += len(sequence.scored)
    batch = min(
        engine.info.max_num_seqs,
        engine.info.kv_cache_tokens // -(-_longest(engine, sequences) // BLOCK_SIZE) // BLOCK_SIZE,
    )
    # Sequences of one length together, so that none waits for a longer one.
    order = sorted(range(len(sequences)), key=lambda number: len(sequences[number].scored))
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        yield from _batch(engine, [(sequences[number], first_rows[number]) for number in chosen])


def _longest(engine: TransformersEngine, sequences: Sequence[Forced]) -> int:
    longest = max(len(sequence.given) + len(sequence.scored) for sequence in sequences)
    if longest > engine.info.max_model_len:
        raise ValueError(
            f"a sequence of {longest} tokens: the engine's context holds "
            f"{engine.info.max_model_len}. Take a smaller --window."
        )
    return longest


def _batch(
    engine: TransformersEngine, chosen: Sequence[tuple[Forced, int]]
) -> Iterator[tuple[list[int], torch.Tensor]]:
    running, free = [], 0
    for forced, first_row in chosen:
        size = -(-(len(forced.given) + len(forced.scored)) // BLOCK_SIZE)
        running.append(_begun(forced, first_row, list(range(free, free + size))))
        free += size
    for each in running:
        yield [each.first_row], _prefill(engine, each)
    while alive := [each for each in running if each.num_scored < len(each.forced.scored)]:
        for each in alive:
            each.state.token_ids.append(each.forced.scored[each.num_scored - 1])
        # A plan puts shorter contexts first, and its logits with them; in this order they are.
        alive.sort(key=lambda each: len(each.state.token_ids))
        logits = engine.runner.logits(
            [Segment(each.state, len(each.state.token_ids) - 1, 1) for each in alive]
        )
        rows = [each.first_row + each.num_scored for each in alive]
        for each in alive:
            each.num_scored += 1
        yield rows, logits


def _begun(forced: Forced, first_row: int, blocks: list[int]) -> _Running:
    request = EngineRequest(
        request_id=f"forced-{first_row}",
        prompt_token_ids=forced.given,
        sampling=SamplingParams(max_tokens=len(forced.scored), temperature=0),
    )
    state = SequenceState(request=request, stop_token_ids=frozenset(), block_ids=blocks)
    return _Running(state=state, forced=forced, first_row=first_row)


def _prefill(engine: TransformersEngine, each: _Running) -> torch.Tensor:
    """Logits ``[1, V]`` after the given tokens."""
    length, at = len(each.forced.given), 0
    while True:
        size = min(_CHUNK, length - at)
        logits = engine.runner.logits([Segment(each.state, at, size)])
        at += size
        if at == length:
            each.num_scored = 1
            return logits
