"""What runs in vLLM's worker: rows are written before they are forced, plans are followed.

Mocks vLLM's part of it; test_small_model.py runs the worker in vLLM.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.quality import vllm_forcing

NAME = "benchmarks.quality.vllm_worker"
PROMPT = [5, 6]


def process_dict_updates(running: dict, update, planned) -> None:
    """As vLLM's: rows that ended go, rows that came are planned."""
    for index in update.removed:
        running.pop(index, None)
    for index, prompt in update.added:
        plan = planned(None, prompt, [])
        if plan is None:
            running.pop(index, None)
        else:
            running[index] = plan


@pytest.fixture
def worker(monkeypatch):
    package = ModuleType("logits_processor")
    package.BatchUpdate, package.LogitsProcessor = object, object
    builtin = ModuleType("builtin")
    builtin.process_dict_updates = process_dict_updates
    parent = "vllm.v1.sample.logits_processor"
    for name in ("vllm", "vllm.v1", "vllm.v1.sample"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, parent, package)
    monkeypatch.setitem(sys.modules, f"{parent}.builtin", builtin)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    yield importlib.import_module(NAME)
    sys.modules.pop(NAME, None)


def forcing(worker, folder: Path | None):
    config = {} if folder is None else {vllm_forcing.KEY: str(folder)}
    return worker.Forcing(SimpleNamespace(additional_config=config), torch.device("cpu"), False)


def began(index: int, prompt: list[int] | None = PROMPT) -> SimpleNamespace:
    return SimpleNamespace(added=[(index, prompt)], removed=[])


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = vllm_forcing.plan_path(tmp_path, PROMPT)
    path.write_text(json.dumps([3, 1]))
    return path


def test_each_step_writes_the_logits_as_they_were_and_leaves_one_token(worker, plan) -> None:
    processor = forcing(worker, plan.parent)
    processor.update_state(began(1))
    steps = torch.arange(16.0).view(2, 2, 4)
    forced = [processor.apply(step.clone()) for step in steps]
    assert [int(step[1].argmax()) for step in forced] == [3, 1]
    assert all(step[1].isfinite().sum() == 1 for step in forced)
    assert all(torch.equal(f[0], step[0]) for f, step in zip(forced, steps, strict=True))
    written = np.fromfile(vllm_forcing.rows_path(plan), np.float32).reshape(2, 4)
    assert written.tolist() == steps[:, 1].tolist()


def test_beyond_its_plan_a_request_is_left_alone(worker, plan) -> None:
    processor = forcing(worker, plan.parent)
    processor.update_state(began(0))
    for _ in range(2):
        processor.apply(torch.zeros(1, 4))
    untouched = torch.arange(4.0)[None]
    assert torch.equal(processor.apply(untouched.clone()), untouched)
    assert vllm_forcing.rows_path(plan).stat().st_size == 2 * 4 * 4


@pytest.mark.parametrize("prompt", [[9], None])
def test_a_request_without_a_plan_is_not_forced(worker, plan, prompt) -> None:
    processor = forcing(worker, plan.parent)
    processor.update_state(began(0, prompt))
    assert torch.equal(processor.apply(torch.ones(1, 4)), torch.ones(1, 4))
    assert not vllm_forcing.rows_path(plan).exists()


def test_without_a_folder_it_does_nothing(worker, plan) -> None:
    processor = forcing(worker, None)
    processor.update_state(began(0))
    assert torch.equal(processor.apply(torch.ones(1, 4)), torch.ones(1, 4))


def test_a_row_that_ended_is_forced_no_more_and_the_largest_may_change(worker, plan) -> None:
    processor = forcing(worker, plan.parent)
    processor.update_state(began(0))
    processor.update_state(SimpleNamespace(added=[], removed=[0]))
    assert torch.equal(processor.apply(torch.ones(1, 4)), torch.ones(1, 4))
    assert processor.is_argmax_invariant() is False
