"""transformers' own continuous batching, the nearest thing to our transformers engine."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Sequence

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, PreTrainedModel

from benchmarks.compare.in_process import load_model
from benchmarks.compare.systems import Bench, Up
from benchmarks.trace import Trace
from models.refs import QuantScheme

_PAGE, _BATCH_TOKENS = 256, 512
_RESULT_TIMEOUT_S = 120


class Batching:
    """One manager, kept running. It notes the time of each token itself, on our clock."""

    def __init__(self, model: PreTrainedModel, batch: int, length: int) -> None:
        self._manager = model.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=_PAGE,
                num_blocks=batch * -(-length // _PAGE) + 1,
                max_batch_tokens=_BATCH_TOKENS,
            ),
        )
        self._manager.start()

    async def ask_all(
        self, name: str, prompts: Sequence[Sequence[int]], max_tokens: int
    ) -> list[Trace]:
        return await asyncio.to_thread(self._run, name, prompts, max_tokens)

    async def close(self) -> None:
        await asyncio.to_thread(self._manager.stop, block=True)

    def _run(self, name: str, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Trace]:
        sent_at: dict[str, float] = {}
        for number, prompt in enumerate(prompts):
            own = f"{name} {number}"
            sent_at[own] = time.monotonic()
            self._manager.add_request(
                list(prompt), request_id=own, max_new_tokens=max_tokens, record_timestamps=True
            )
        traces: list[Trace] = []
        while len(traces) < len(prompts):
            result = self._manager.get_result(timeout=_RESULT_TIMEOUT_S)
            if result is None or result.error:
                why = result.error if result else "no result"
                raise RuntimeError(f"transformers' continuous batching: {why}")
            if result.is_finished():
                num_tokens = len(result.generated_tokens)
                traces.append(
                    Trace(
                        sent_at=sent_at[result.request_id],
                        arrivals_at=array("d", result.timestamps),
                        chunk_tokens=array("L", [1] * num_tokens),
                        finished_at=time.monotonic(),
                        prompt_tokens=len(result.prompt_ids),
                        completion_tokens=num_tokens,
                        finish_reason="length",
                    )
                )
        return traces


async def start(bench: Bench, scheme: QuantScheme) -> Up:  # noqa: ARG001 - none alone
    """Its own choice of attention kernels for this device."""
    model = await asyncio.to_thread(load_model, bench)
    with torch.inference_mode():
        return Up(running=Batching(model, bench.batch, bench.length))
