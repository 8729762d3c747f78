"""The cost of prompts' chunks on this machine, measured before the engine serves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf

from serve import timeline
from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers.kv_cache import BLOCK_SIZE
from serve.engine.transformers.model_runner import ModelRunner
from serve.engine.transformers.sequence import Segment, SequenceState
from serve.engine.transformers.step_cost import CHUNK_S, LEAST_CHUNK, StepCost

_MANY, _FAR = 4 * LEAST_CHUNK, 4096
"""Tokens of the larger chunk, and before the one that sees many: no more than a context holds."""
_ROUNDS = 3
_ENOUGH_S = 0.6
"""After so long no further round is begun. A round of a 0.5B model on two cores takes about as
long; the first one alone decides for slow models, and three do for small ones."""
_FEW_BLOCKS = 8
"""Of the KV cache that are touched: no memory is taken for a past that is only made up."""

log = logging.getLogger(__name__)


def measure(
    runner: ModelRunner,
    *,
    max_model_len: int,
    num_blocks: int,
    clock: Callable[[], float] = timeline.now,
) -> StepCost | None:
    """The least seconds seen of each of three chunks, as a cost; None for the shortest contexts.

    Args:
        runner: with a KV cache that nobody uses yet.
        max_model_len: most tokens of a sequence.
        num_blocks: in the KV cache.
        clock: monotonic seconds.
    """
    num_many = min(_MANY, max_model_len // LEAST_CHUNK * LEAST_CHUNK)
    num_past = min(_FAR, (max_model_len - LEAST_CHUNK) // LEAST_CHUNK * LEAST_CHUNK)
    if num_many <= LEAST_CHUNK:
        return None
    chunks = ((0, LEAST_CHUNK), (0, num_many), (num_past, LEAST_CHUNK))
    segments = [_segment(past, num_tokens, num_blocks) for past, num_tokens in chunks]
    best = [inf] * len(segments)
    begun_at = clock()
    for _ in range(_ROUNDS):
        for index, segment in enumerate(segments):
            start_at = clock()
            runner.logits([segment])
            best[index] = min(best[index], clock() - start_at)
            if best[0] > CHUNK_S:  # the least chunk it is, whatever more of them take
                break
        if clock() - begun_at >= _ENOUGH_S:
            break
    few_s, many_s, far_s = best
    if inf in {many_s, far_s}:
        return StepCost(base_s=0.0, token_s=few_s / LEAST_CHUNK, seen_s=0.0)
    cost = StepCost.fitted(
        few_s=few_s, many_s=many_s, far_s=far_s, num_many=num_many, num_past=num_past
    )
    log.info(
        "prompt chunks beside running streams",
        extra={"first_chunk": cost.first_chunk, "seconds": [round(one, 4) for one in best]},
    )
    return cost


def _segment(past: int, num_tokens: int, num_blocks: int) -> Segment:
    request = EngineRequest(
        request_id=f"cost-{past}-{num_tokens}",
        prompt_token_ids=[0] * (past + num_tokens),
        sampling=SamplingParams(max_tokens=1, temperature=0),
    )
    num_touched = min(num_blocks, _FEW_BLOCKS)
    blocks = [index % num_touched for index in range((past + num_tokens) // BLOCK_SIZE)]
    sequence = SequenceState(request=request, stop_token_ids=frozenset(), block_ids=blocks)
    return Segment(sequence, past, num_tokens)
