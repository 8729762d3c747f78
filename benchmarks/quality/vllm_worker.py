"""The part of ``vllm_forcing.py`` that runs within vLLM's worker, in every step of the engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from benchmarks.quality.vllm_forcing import KEY, plan_path, rows_path


@dataclass(slots=True)
class _Plan:
    """One request in the worker: what it is made to say, and where its rows go."""

    tokens: list[int]
    file: Path
    num_done: int = 0


class Forcing(LogitsProcessor):  # type: ignore[misc]  # vLLM tells mypy no types
    """Forces each request whose prompt has a plan in the folder; others are left alone."""

    def __init__(self, vllm_config: Any, _device: torch.device, _is_pin_memory: bool) -> None:
        folder = (vllm_config.additional_config or {}).get(KEY)
        self._folder = None if folder is None else Path(folder)
        self._running: dict[int, _Plan] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if self._folder is not None:
            process_dict_updates(self._running, batch_update, self._planned)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        for index, plan in self._running.items():
            if plan.num_done == len(plan.tokens):
                continue
            with plan.file.open("ab") as file:
                logits[index].float().cpu().numpy().tofile(file)
            logits[index] = -torch.inf
            logits[index, plan.tokens[plan.num_done]] = 0.0
            plan.num_done += 1
        return logits

    def _planned(self, _params: Any, prompt: list[int] | None, _said: list[int]) -> _Plan | None:
        if self._folder is None or prompt is None:
            return None
        path = plan_path(self._folder, prompt)
        if not path.exists():
            return None
        return _Plan(json.loads(path.read_bytes()), rows_path(path))
