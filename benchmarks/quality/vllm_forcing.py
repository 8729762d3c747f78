"""Teacher forcing through vLLM: whole distributions, as served, in parts of bounded size.

vLLM hands out logarithms of probabilities one Python object each, which for a whole vocabulary
takes more memory than the model. So a logits processor, vLLM's own way into a step, runs in the
worker (``vllm_worker.py``): it writes each row of logits to a file and then leaves one token
possible, the text's. The tokens of every request are held against what was forced, and the rows
counted, so that a row is never taken for another's.

The files of a part are read and removed before the next part is asked for. A later part finds
its beginning in vLLM's prefix cache.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from array import array
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

import torch

from benchmarks.quality.forcing import Step
from benchmarks.quality.sequences import Forced, first_rows
from serve.engine.protocol import Engine, EngineRequest, SamplingParams

TOGETHER = 8
"""Sequences that run at once."""
BLOCK_SIZE = 32
"""Tokens of a cached block: a part computes less than so many of its beginning again."""
_FLOAT_BYTES = 4
KEY = "quality_forcing"
"""Of vLLM's ``additional_config``: the engine's folder."""
PROCESSOR = "benchmarks.quality.vllm_worker:Forcing"
"""As vLLM takes it: its workers import it by this name."""
_numbers = itertools.count()


def engine_arguments(folder: Path) -> tuple[str, ...]:
    """Arguments of the engine, as `--engine-arg` takes them.

    Args:
        folder: of this engine's own, where plans and rows meet.
    """
    return (f"block_size={BLOCK_SIZE}", f"additional_config={json.dumps({KEY: str(folder)})}")


async def forced_logits(
    engine: Engine, sequences: Sequence[Forced], folder: Path, most_bytes: int
) -> AsyncGenerator[Step, None]:
    """The steps of ``forcing.forced_logits``, by an engine built with ``engine_arguments``.

    Args:
        engine: vLLM's.
        sequences: in any order.
        folder: the engine's.
        most_bytes: of rows on disk at any time.

    Raises:
        RuntimeError: the engine did not say what it was made to say.
    """
    vocab = engine.info.vocab_size
    longest = max(1, most_bytes // (TOGETHER * vocab * _FLOAT_BYTES))
    for chosen in _parts(sequences, longest):
        await asyncio.gather(*(_run(engine, forced, folder) for forced, _ in chosen))
        for forced, row in chosen:
            path = rows_path(plan_path(folder, forced.given))
            logits = _read(path, len(forced.scored), vocab)
            path.unlink()
            yield list(range(row, row + len(forced.scored))), logits


def _parts(sequences: Sequence[Forced], longest: int) -> Iterator[list[tuple[Forced, int]]]:
    """Beginnings of at most ``TOGETHER`` sequences, then what follows, then the next sequences;
    each with its first row. No two of one round have the same given tokens.
    """
    waiting = [*zip(sequences, first_rows(sequences), strict=True)]
    while waiting:
        chosen: dict[tuple[int, ...], tuple[Forced, int]] = {}
        for forced, row in waiting:
            if len(chosen) < TOGETHER:
                chosen.setdefault(forced.given, (forced, row))
        left = [one for one in waiting if one not in chosen.values()]
        rests = []
        for forced, row in chosen.values():
            if rest := forced.scored[longest:]:
                given = forced.given + forced.scored[:longest]
                later = Forced(source=forced.source, given=given, scored=rest)
                rests.append((later, row + longest))
        yield [(_first(forced, longest), row) for forced, row in chosen.values()]
        waiting = rests + left


def _first(forced: Forced, longest: int) -> Forced:
    return Forced(source=forced.source, given=forced.given, scored=forced.scored[:longest])


async def _run(engine: Engine, forced: Forced, folder: Path) -> None:
    plan = plan_path(folder, forced.given)
    plan.write_text(json.dumps(forced.scored))
    request = EngineRequest(
        request_id=f"forced-{next(_numbers)}",
        prompt_token_ids=forced.given,
        sampling=SamplingParams(max_tokens=len(forced.scored), temperature=0, ignore_eos=True),
    )
    token_ids: list[int] = []
    async with aclosing(engine.stream(request)) as chunks:
        async for chunk in chunks:
            token_ids += chunk.token_ids
    plan.unlink()
    if tuple(token_ids) != forced.scored:
        raise RuntimeError("vLLM did not say the tokens that it was made to say")


def _read(path: Path, num_rows: int, vocab: int) -> torch.Tensor:
    """Raises RuntimeError: there are more or fewer rows, or words."""
    numbers = array("f", path.read_bytes())
    if len(numbers) != num_rows * vocab:
        raise RuntimeError(
            f"vLLM wrote {len(numbers):,} logits for {num_rows} tokens of {vocab:,} words: "
            "a request was computed in parts or twice"
        )
    return torch.frombuffer(numbers, dtype=torch.float32).view(num_rows, vocab)


def plan_path(folder: Path, prompt: Sequence[int]) -> Path:
    """The file with the tokens that the request with this prompt is forced to give."""
    return folder / f"{hashlib.sha256(array('l', prompt).tobytes()).hexdigest()}.json"


def rows_path(plan: Path) -> Path:
    """The file of its rows: float32, one after the other."""
    return plan.with_suffix(".rows")
