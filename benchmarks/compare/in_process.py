"""Systems in this process: our transformers engine, and transformers' own ``generate``."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.generation import StoppingCriteria, StoppingCriteriaList
from transformers.utils import logging

from benchmarks import workbench
from benchmarks.compare.systems import Bench, Up
from benchmarks.engine import running
from benchmarks.trace import Trace
from models.refs import QuantScheme
from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings


class OurEngine:
    """Our engine, without HTTP."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ask_all(
        self, name: str, prompts: Sequence[Sequence[int]], max_tokens: int
    ) -> list[Trace]:
        return await running.ask_all(self._engine, name, prompts, max_tokens)

    async def close(self) -> None:
        await self._engine.close()


async def start_ours(bench: Bench, scheme: QuantScheme) -> Up:
    """Our transformers engine; tokens are not held to be sent in pairs."""
    artifact = await asyncio.to_thread(workbench.quantised, bench.full, scheme, bench.cache_dir)
    settings = EngineSettings(
        dtype=bench.dtype,
        max_num_seqs=bench.batch,
        max_model_len=bench.length,
        kv_cache_tokens=bench.batch * (bench.length + 64),
        max_hold_s=0.0,
        enable_prefix_caching=False,
    )
    engine = await asyncio.to_thread(
        build, "transformers", artifact.path, settings, lambda *_: None
    )
    return Up(running=OurEngine(engine))


class _Clock(StoppingCriteria):  # type: ignore[misc]
    """Notes when each token was chosen; stops nothing."""

    def __init__(self) -> None:
        self.arrivals_at = array("d")

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:  # noqa: ARG002 - transformers' signature
        self.arrivals_at.append(time.monotonic())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class Generate:
    """``model.generate`` of one batch of prompts of equal length."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    async def ask_all(
        self,
        name: str,  # noqa: ARG002 - of the protocol
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
    ) -> list[Trace]:
        return await asyncio.to_thread(self._generate, prompts, max_tokens)

    async def close(self) -> None:
        del self._model

    def _generate(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Trace]:
        clock = _Clock()
        sent_at = time.monotonic()
        ids = torch.tensor(prompts, device=self._model.device)
        output = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            stopping_criteria=StoppingCriteriaList([clock]),
        )
        finished_at = time.monotonic()
        num_tokens = output.shape[1] - ids.shape[1]
        return [
            Trace(
                sent_at=sent_at,
                arrivals_at=clock.arrivals_at[:],
                chunk_tokens=array("L", [1] * num_tokens),
                finished_at=finished_at,
                prompt_tokens=len(prompt),
                completion_tokens=num_tokens,
                finish_reason="length",
            )
            for prompt in prompts
        ]


async def start_generate(bench: Bench, scheme: QuantScheme) -> Up:  # noqa: ARG001 - none alone
    """Transformers with its own cache and attention, as its documentation shows it."""
    return Up(running=Generate(await asyncio.to_thread(load_model, bench)))


def load_model(bench: Bench) -> PreTrainedModel:
    """The full weights, for transformers' own ways of running them."""
    logging.disable_progress_bar()  # ours is enough
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        bench.full.path,
        dtype=bench.dtype,
        local_files_only=True,
        use_safetensors=True,
        attn_implementation="sdpa",
    )
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
