"""A base and any number of quantised models side by side, over the same tokens, step by step.

The distributions of a step are compared as soon as all models have computed them and forgotten
before the next: what is kept is four numbers a token and model, whatever the vocabulary, and
nothing touches the disk. For the transformers engine; of vLLM one model at a time is up
(``recorded.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from benchmarks.quality import forcing
from benchmarks.quality.forcing import Step
from benchmarks.quality.formulas import Rows, compare, joined
from benchmarks.quality.sequences import Forced
from serve.engine.protocol import Engine
from serve.engine.transformers.engine import TransformersEngine

Report = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An engine, and the folder through which vLLM's worker hands its rows over."""

    engine: Engine
    folder: Path


async def compared(
    base: Running, quantised: Sequence[Running], sequences: Sequence[Forced], report: Report
) -> list[Rows]:
    """Each quantised model against the base, in the order of the scored tokens.

    Args:
        base: idle, on the transformers engine.
        quantised: the same, not empty.
        sequences: each must fit into the engines' contexts.
        report: told of the bytes of the base's logits as they are done.

    Raises:
        ValueError: the models' vocabularies differ, or one computes no numbers.
        RuntimeError: two engines took other steps.
    """
    tokens = torch.tensor([token for sequence in sequences for token in sequence.scored])
    parts: list[list[Rows]] = [[] for _ in quantised]
    places: list[int] = []
    async with AsyncExitStack() as stack:
        # One thread for all engines: each that computes would have an OpenMP pool of its own.
        thread = stack.enter_context(ThreadPoolExecutor(1, "forcing"))
        steps = [
            await stack.enter_async_context(aclosing(_steps(running, sequences, thread)))
            for running in (base, *quantised)
        ]
        async for rows, logits in steps[0]:
            others = [await anext(other) for other in steps[1:]]
            if any(other_rows != rows for other_rows, _ in others):
                raise RuntimeError(
                    "two engines took other steps: their distributions are of other tokens"
                )
            with on_one_thread():
                for its_rows, (_, its_logits) in zip(parts, others, strict=True):
                    its_rows.append(compare(logits.cpu(), its_logits.cpu(), tokens[rows]))
            places += rows
            report(logits.nbytes)
    order = torch.tensor(places).argsort()
    return [joined(its_rows).at(order) for its_rows in parts]


async def _steps(
    running: Running, sequences: Sequence[Forced], thread: ThreadPoolExecutor
) -> AsyncGenerator[Step, None]:
    in_process = forcing.forced_logits(cast("TransformersEngine", running.engine), sequences)
    loop = asyncio.get_running_loop()
    while (step := await loop.run_in_executor(thread, next, in_process, None)) is not None:
        yield step


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Many short operations: on a busy machine, threads that wait for each other at every one of
    them took 30 times as long as a single thread (Machine A of the lab notes, load 6).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
