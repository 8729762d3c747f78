"""The compiled decode step, against transformers' own layers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers import model_runner, warm_up
from serve.engine.transformers.compiled_step import MOST_ROWS, CompiledStep
from serve.engine.transformers.kernels import native
from serve.engine.transformers.kv_cache import BLOCK_SIZE, KVCache
from serve.engine.transformers.layers import attention, fused_linear
from serve.engine.transformers.model_runner import ModelRunner
from serve.engine.transformers.sequence import Segment, SequenceState
from tests.serve.engine import checkpoints
from tests.tiny_models import VOCAB_SIZE, write_tiny_model

BLOCKS_EACH = 4
KNOWN: list[tuple[str, dict[str, Any]]] = [
    ("qwen2", {}),
    ("llama", {"num_key_value_heads": 1}),
    ("mistral", {"sliding_window": 20}),
    ("qwen3", {}),
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def load(folder: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, KVCache]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    model = model.eval().requires_grad_(False)
    fused_linear.fuse(model)
    return model, cache_for(model)


def cache_for(model: PreTrainedModel) -> KVCache:
    shapes = warm_up.layer_shapes(model)
    model.set_attn_implementation(attention.IMPLEMENTATION)
    num_blocks = BLOCKS_EACH * MOST_ROWS
    return KVCache(shapes, num_blocks=num_blocks, dtype=model.dtype, device=model.device)


def sequences(lengths: list[int]) -> list[SequenceState]:
    """Sequences of so many tokens, of which the last one was generated."""
    states = []
    for index, length in enumerate(lengths):
        prompt = [(7 * index + 3 * step + step * step) % VOCAB_SIZE for step in range(length)]
        request = EngineRequest(
            request_id=str(index),
            prompt_token_ids=prompt[:-1],
            sampling=SamplingParams(max_tokens=1, temperature=0),
        )
        first = BLOCKS_EACH * index
        blocks = [first + 1, first, *range(first + 2, first + BLOCKS_EACH)]  # not in order
        state = SequenceState(request=request, stop_token_ids=frozenset(), block_ids=blocks)
        state.append(prompt[-1])
        states.append(state)
    return states


def last_logits(runner: ModelRunner, lengths: list[int]) -> torch.Tensor:
    """Last logits of prompts of these lengths; all but the last token of each come before it."""
    states = sequences(lengths)
    for state in states:
        if len(state.token_ids) > 1:
            runner.logits([Segment(state, 0, len(state.token_ids) - 1)])
    return runner.logits([Segment(state, len(state.token_ids) - 1, 1) for state in states])


@pytest.mark.parametrize(("architecture", "config"), KNOWN, ids=[name for name, _ in KNOWN])
@pytest.mark.parametrize(
    ("dtype", "most"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)], ids=["float32", "bfloat16"]
)
def test_the_logits_are_the_models_own(
    tmp_path: Path, architecture: str, config: dict[str, Any], dtype: torch.dtype, most: float
) -> None:
    model, cache = load(write_tiny_model(tmp_path / "model", architecture, **config), dtype)
    runner = ModelRunner(model, cache)
    assert runner._compiled is not None
    lengths = [1, 2, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE + 9, 30, 31]
    for pool in (*cache.keys.values(), *cache.values.values()):
        pool.fill_(torch.nan)  # what others left
    ours = last_logits(runner, lengths)
    runner._compiled = None
    theirs = last_logits(runner, lengths)
    assert ours.dtype is torch.float32
    assert ((ours - theirs.float()).norm() / theirs.float().norm()) < most


def test_a_row_does_not_depend_on_the_others(tiny_qwen2: Path) -> None:
    model, cache = load(tiny_qwen2, torch.float32)
    runner = ModelRunner(model, cache)
    lengths = list(range(40, 40 + MOST_ROWS))
    together = last_logits(runner, lengths)
    assert len(set(together.argmax(-1).tolist())) > 1
    for count in (1, 2, 3, 7):
        assert torch.equal(last_logits(runner, lengths[:count]), together[:count])


@pytest.mark.parametrize("scheme", ["int8", "int4", "int8-w8a8"])
def test_stored_integers_are_multiplied_as_they_are(folders: dict[str, Path], scheme: str) -> None:
    model = checkpoints.load(folders[scheme], dtype="float32")
    runner = ModelRunner(model, cache_for(model))
    assert runner._compiled is not None
    lengths = [1, 2, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE + 9, 30, 31, 9, 8, 7]
    ours = last_logits(runner, lengths)
    for count in (1, 3, 9):
        assert torch.equal(last_logits(runner, lengths[:count]), ours[:count])
    assert runner._compiled._products.head is not None
    runner._compiled = None
    theirs = last_logits(runner, lengths)
    # Of the same rounded rows, but where one was at the edge of a step.
    assert ((ours - theirs).norm() / theirs.norm()) < 1e-2


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(tiny_qwen2: Path, threads: int) -> None:
    model, cache = load(tiny_qwen2, torch.float32)
    alone = last_logits(ModelRunner(model, cache), [5, 70, 9])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        runner = ModelRunner(model, cache)
        assert all(torch.equal(last_logits(runner, [5, 70, 9]), alone) for _ in range(20))
    finally:
        torch.set_num_threads(before)


def test_what_it_does_not_know_goes_through_transformers(
    tmp_path: Path, tiny_qwen2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for architecture in ("phi3", "gemma2"):
        model, cache = load(write_tiny_model(tmp_path / architecture, architecture), torch.float32)
        assert CompiledStep.of(model, cache) is None
    model, cache = load(
        write_tiny_model(tmp_path / "gelu", "llama", hidden_act="gelu"), torch.float32
    )
    assert CompiledStep.of(model, cache) is None
    assert CompiledStep.of(*load(tiny_qwen2, torch.float16)) is None
    model, cache = load(tiny_qwen2, torch.float32)
    assert CompiledStep.of(model, cache) is not None
    model.lm_head = Opaque(model.lm_head)
    with_module = CompiledStep.of(model, cache)
    assert with_module is not None  # only the head is left to its module
    assert with_module._products.head is None
    model.model.layers[1].mlp.down_proj = Opaque(model.model.layers[1].mlp.down_proj)
    assert CompiledStep.of(model, cache) is None
    model, cache = load(tiny_qwen2, torch.float32)
    monkeypatch.setattr(native, "is_available", lambda: False)
    assert CompiledStep.of(model, cache) is None


def test_a_head_of_another_kind_is_asked_itself(tiny_qwen2: Path) -> None:
    model, cache = load(tiny_qwen2, torch.float32)
    expected = last_logits(ModelRunner(model, cache), [4, 90])
    model.lm_head = Opaque(model.lm_head)
    torch.testing.assert_close(last_logits(ModelRunner(model, cache), [4, 90]), expected)


def test_only_steps_of_few_decodes_are_taken(tiny_qwen2: Path) -> None:
    model, cache = load(tiny_qwen2, torch.float32)
    runner = ModelRunner(model, cache)
    num_rows: list[int] = []
    compiled = runner._compiled
    assert compiled is not None
    own = compiled.logits
    compiled.logits = lambda plan: num_rows.append(len(plan.segments)) or own(plan)  # type: ignore
    one, two = sequences([10, 10])
    runner.logits([Segment(one, 0, 9)])
    runner.logits([Segment(one, 9, 1), Segment(two, 0, 10)])
    assert num_rows == []
    runner.logits([Segment(one, 9, 1), Segment(two, 9, 1)])
    assert num_rows == [2]


def test_many_decodes_go_in_equal_groups_and_prompts_by_themselves(
    tiny_qwen2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_runner, "MOST_ROWS", 4)
    model, cache = load(tiny_qwen2, torch.float32)
    runner = ModelRunner(model, cache)
    passes: list[list[int]] = []
    own = runner._forward
    monkeypatch.setattr(
        runner,
        "_forward",
        lambda plan: passes.append([one.num_tokens for one in plan.segments]) or own(plan),
    )
    states = sequences([10] * 12)
    decoded, prompts = states[:10], states[10:]
    for state in decoded:
        runner.logits([Segment(state, 0, 9)])
    passes.clear()
    runner.step([Segment(one, 9, 1) for one in decoded] + [Segment(one, 0, 5) for one in prompts])
    assert passes == [[1] * 3, [1] * 3, [1] * 4, [5, 5]]
    passes.clear()
    runner.step([Segment(one, 5, 5) for one in prompts])
    assert passes == [[5, 5]]


class Opaque(nn.Module):
    """A layer whose weights the loops cannot read, as nf4's."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)  # type: ignore[no-any-return]
