"""One step is one forward: plan, model, sampler."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from serve.engine.transformers.compiled_step import CompiledStep
from serve.engine.transformers.kv_cache import KVCache
from serve.engine.transformers.sampler import Sampled, sample
from serve.engine.transformers.scheduler import Segment, SequenceState
from serve.engine.transformers.step_plan import StepPlan, make_plan


class ModelRunner:
    """Runs steps of a model whose attention implementation is ``attention.IMPLEMENTATION``."""

    def __init__(self, model: PreTrainedModel, cache: KVCache) -> None:
        self._model = model
        self._cache = cache
        self._compiled = CompiledStep.of(model, cache)
        self._keeps_rows = "logits_to_keep" in inspect.signature(model.forward).parameters

    def step(self, segments: Sequence[Segment]) -> list[tuple[SequenceState, Sampled]]:
        """Compute the segments and sample those that end their sequence's tokens.

        Raises:
            Exception: whatever the forward does; none of the segments counts as computed then.
        """
        try:
            return self._step(segments)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # what the failed step left in pieces is the next one's
            raise

    def _step(self, segments: Sequence[Segment]) -> list[tuple[SequenceState, Sampled]]:
        with torch.inference_mode():
            plan = make_plan(segments, self._cache, self._model.device)
            logits = self._forward(plan)
            sequences = [segment.sequence for segment in plan.sampled]
            if not sequences:
                return []
            return list(zip(sequences, sample(logits, sequences), strict=True))

    def logits(self, segments: Sequence[Segment]) -> torch.Tensor:
        """float32 ``[B, V]`` of the segments that sample, in the plan's order, decodes first."""
        with torch.inference_mode():
            return self._forward(make_plan(segments, self._cache, self._model.device)).clone()

    def _forward(self, plan: StepPlan) -> torch.Tensor:
        if self._compiled is not None and self._compiled.takes(plan):
            return self._compiled.logits(plan).float()
        kept = {"logits_to_keep": plan.last_rows} if self._keeps_rows else {}
        logits: torch.Tensor = self._model(
            input_ids=plan.input_ids,
            position_ids=plan.position_ids,
            use_cache=False,
            step_plan=plan,
            **kept,
        ).logits[0]  # [B, V]
        return (logits if self._keeps_rows else logits[plan.last_rows]).float()
