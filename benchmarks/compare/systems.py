"""A system of a comparison: it takes token ids, gives one trace per request, and is closed.

A system that is not installed is left out, with what to do about it. All that a comparison starts
is up at the same time, and computes in turn. ``registry.py`` lists them all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from benchmarks.cases import Case
from benchmarks.roofline import StepCost, cost_of
from benchmarks.trace import Trace
from models.refs import Artifact, QuantScheme
from serve.config_sections.served_model import Dtype


class MissingError(Exception):
    """A system cannot run here; the message says what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One model, and what every system is told.

    Attributes:
        full: the model with its full weights.
        cache_dir: for what has to be made.
        dtype: of weights that are not quantised, and of arithmetic.
        cases: that will be asked for.
        gpu_share: of a card's memory, for each system; None on a CPU.
        llama_python: an interpreter with llama-cpp-python; None where there is none.
    """

    full: Artifact
    cache_dir: Path
    dtype: Dtype
    cases: Sequence[Case]
    llama_python: Path | None
    gpu_share: float | None = None

    @property
    def length(self) -> int:
        """Tokens of the longest sequence."""
        return max(case.length for case in self.cases) + 8

    @property
    def batch(self) -> int:
        return max(case.batch for case in self.cases)


class Running(Protocol):
    """A system that is up."""

    async def ask_all(
        self, name: str, prompts: Sequence[Sequence[int]], max_tokens: int
    ) -> list[Trace]:
        """All at once, greedily and without an early end.

        Raises:
            RuntimeError: an answer did not come whole.
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Up:
    """A system that is up, and what is known of its weights.

    Attributes:
        weight_bytes: that a step reads; None takes the formula for its scheme.
        kv_dtype: of its KV cache, where it is not that of the arithmetic.
    """

    running: Running
    weight_bytes: int | None = None
    kv_dtype: str | None = None

    def cost(self, bench: Bench, scheme: QuantScheme) -> StepCost | None:
        """Bytes and operations of a step; None where the configuration does not tell."""
        cost = cost_of(bench.full.path, scheme, self.kv_dtype or bench.dtype)
        if cost is None or self.weight_bytes is None:
            return cost
        return replace(cost, weight_bytes=self.weight_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One that may be started.

    Attributes:
        name: in the report.
        scheme: how it stores its weights; llama.cpp's q8_0 and q4_0 stand beside int8 and int4.
        via: ``engine``, ``HTTP`` or ``library``.
        start: takes seconds, and raises MissingError where it cannot run.
    """

    name: str
    scheme: QuantScheme
    via: str
    start: Callable[[Bench, QuantScheme], Awaitable[Up]]

    @property
    def label(self) -> str:
        return self.name if self.scheme is QuantScheme.NONE else f"{self.name} {self.scheme}"
