"""One step: plan, model, sampler. One forward, or several that share nothing but the sampler."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from transformers import PreTrainedModel

from serve.engine.transformers import prompt_logprobs
from serve.engine.transformers.compiled_step import MOST_ROWS, CompiledStep
from serve.engine.transformers.draft_check import sample_segments
from serve.engine.transformers.kernels.stored_matrix import FEW_ROWS
from serve.engine.transformers.kv_cache import KVCache
from serve.engine.transformers.layers import tiles
from serve.engine.transformers.mask_worker import MaskWorker
from serve.engine.transformers.sampler import Sampled
from serve.engine.transformers.sequence import Segment, SequenceState
from serve.engine.transformers.step_plan import StepPlan, make_plan


class ModelRunner:
    """Runs steps of a model whose attention implementation is ``attention.IMPLEMENTATION``."""

    def __init__(self, model: PreTrainedModel, cache: KVCache) -> None:
        self._model = model
        self._cache = cache
        self._compiled = CompiledStep.of(model, cache)
        self._masks = MaskWorker()
        self._keeps_rows = "logits_to_keep" in inspect.signature(model.forward).parameters

    def step(self, segments: Sequence[Segment]) -> list[tuple[SequenceState, Sampled]]:
        """Compute the segments and sample those that end their sequence's tokens.

        Returns:
            The tokens that follow, one for each of those; of one with guesses, as many more as were
            right, in order.

        Raises:
            Exception: whatever the forward does; none of the segments counts as computed then.
        """
        try:
            return self._step(segments)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # what the failed step left in pieces is the next one's
            raise

    @property
    def is_repeatable(self) -> bool:
        """Whether a row's logits do not depend on the other rows of its step.

        The compiled loops sum a row's products in one order, however many rows there are; the
        kernels of torch choose theirs by the number of rows.
        """
        return self._compiled is not None

    @property
    def is_exact(self) -> bool:
        """Whether a row of a prompt comes out the same in chunks of whatever size.

        oneDNN's products of bfloat16 do so from ``LEAST_ROWS`` rows on, and our loops over stored
        integers always; MKL's of float32, which processors without the former use, do not.
        """
        is_bfloat16 = self._model.dtype is torch.bfloat16
        return self.is_repeatable and is_bfloat16 and tiles.has_bfloat16_products()

    @property
    def takes_guesses(self) -> bool:
        """Whether that holds to the last bit, so that a guess's row is as if it came alone."""
        return self._compiled is not None and self._compiled.has_head

    def _step(self, segments: Sequence[Segment]) -> list[tuple[SequenceState, Sampled]]:
        with torch.inference_mode():
            masks_are_ready = self._begin_masks(segments)
            sampled: list[Segment] = []
            parts: list[torch.Tensor] = []
            passes = self._passes(segments)
            for together in passes:
                plan = make_plan(together, self._cache, self._model.device)
                logits = self._add_prompt_logprobs(plan, self._forward(plan))
                if plan.sampled:
                    sampled += plan.sampled
                    # The loops write the next pass's logits to the same place.
                    parts.append(logits if len(passes) == 1 else logits.clone())
            masks_are_ready()
            if not sampled:
                return []
            logits = parts[0] if len(parts) == 1 else torch.cat(parts)
            return sample_segments(logits, sampled)

    @staticmethod
    def _add_prompt_logprobs(plan: StepPlan, logits: torch.Tensor) -> torch.Tensor:
        """Tell prompts their logprobs; the logits ``[B, V]`` of what is sampled are left.

        Args:
            plan: of a pass.
            logits: of the plan's ``last_rows``.
        """
        if not any(map(prompt_logprobs.is_wanted_of, plan.segments)):
            return logits
        kept: list[int] = []
        row = 0
        for segment in plan.segments:
            num_rows = prompt_logprobs.rows_of(segment)
            prompt_logprobs.add(segment.sequence, segment.start, logits[row : row + num_rows])
            row += num_rows
            if segment.samples:
                num_sampled = 1 + len(segment.draft)
                kept += range(row, row + num_sampled)
                row += num_sampled
        return logits[kept]

    def _begin_masks(self, segments: Sequence[Segment]) -> Callable[[], None]:
        """Begin to compute the masks of what will be sampled; the result waits for them."""
        return self._masks.begin(
            [
                mask
                for segment in segments
                if segment.samples and segment.sequence.mask is not None
                for mask in (segment.sequence.mask, *segment.draft.masks)
            ]
        )

    def _passes(self, segments: Sequence[Segment]) -> list[Sequence[Segment]]:
        """The parts of a step that are computed together.

        With compiled loops: the decodes, in as few equal groups as these take; each chunk of a
        prompt with a seed by itself, unless all come out the same in company; all other chunks in
        one (ADR 0016), or in several where more are sampled than the head's loops for a few rows
        take. Of chunks that want a row of logits for each token, each by itself, too.
        """
        if self._compiled is None:
            return _chunk_passes(segments, is_repeatable=False)
        decodes = [segment for segment in segments if segment.is_decode]
        chunks = [segment for segment in segments if not segment.is_decode]
        groups = _equal_groups(decodes, MOST_ROWS) if decodes else []
        passes = _chunk_passes(chunks, is_repeatable=not self.is_exact)
        if not self.is_exact:
            return [*groups, *passes]
        return [*groups, *(few for one in passes for few in _few_sampled(one, FEW_ROWS))]

    def logits(self, segments: Sequence[Segment]) -> torch.Tensor:
        """float32 ``[B, V]`` of the segments that sample, in the plan's order, decodes first."""
        with torch.inference_mode():
            return self._forward(make_plan(segments, self._cache, self._model.device)).clone()

    def _forward(self, plan: StepPlan) -> torch.Tensor:
        if self._compiled is not None and self._compiled.takes(plan):
            rows = self._compiled.logits(plan).float()
            # After a preemption there are rows whose next token is known.
            return rows if len(plan.last_rows) == len(rows) else rows[plan.last_rows]
        kept = {"logits_to_keep": plan.last_rows} if self._keeps_rows else {}
        logits: torch.Tensor = self._model(
            input_ids=plan.input_ids,
            position_ids=plan.position_ids,
            use_cache=False,
            step_plan=plan,
            **kept,
        ).logits[0]  # [B, V]
        return (logits if self._keeps_rows else logits[plan.last_rows]).float()


def _chunk_passes(chunks: Sequence[Segment], *, is_repeatable: bool) -> list[Sequence[Segment]]:
    alone: list[Sequence[Segment]] = []
    others = []
    for segment in chunks:
        is_alone = is_repeatable and segment.sequence.is_seeded
        if is_alone or prompt_logprobs.is_wanted_of(segment):
            alone.append([segment])
        else:
            others.append(segment)
    return [*alone, *([others] if others else [])]


def _few_sampled(segments: Sequence[Segment], most: int) -> list[Sequence[Segment]]:
    """Parts of a pass in which no more than ``most`` segments are sampled, in order."""
    groups: list[list[Segment]] = [[]]
    for segment in segments:
        if segment.samples and sum(one.samples for one in groups[-1]) == most:
            groups.append([])
        groups[-1].append(segment)
    return list(groups)


def _equal_groups(segments: Sequence[Segment], most: int) -> list[Sequence[Segment]]:
    """The fewest parts of ``most`` rows at most; of one row each, parts that differ by one at most.

    Args:
        segments: each of fewer rows than ``most``.
    """
    num_rows = sum(segment.num_tokens for segment in segments)
    if num_rows == len(segments):
        num_groups = -(-num_rows // most)
        bounds = [num_rows * index // num_groups for index in range(num_groups + 1)]
        return [segments[first:last] for first, last in pairwise(bounds)]
    groups: list[list[Segment]] = [[]]
    for segment in segments:
        if sum(one.num_tokens for one in groups[-1]) + segment.num_tokens > most:
            groups.append([])
        groups[-1].append(segment)
    return list(groups)
