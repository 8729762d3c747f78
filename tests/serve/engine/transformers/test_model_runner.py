"""One forward per step: which rows the model is asked for, and whose token comes of each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers.kv_cache import KVCache, LayerShape
from serve.engine.transformers.model_runner import ModelRunner
from serve.engine.transformers.sequence import Segment, SequenceState
from serve.engine.transformers.step_plan import LEAST_ROWS

VOCAB_SIZE = 16
SHAPE = LayerShape(num_kv_heads=1, key_dim=2, value_dim=2, sliding_window=None)


class AllRows:
    """A model whose likeliest next token is the one after; it gives logits of every row."""

    device = torch.device("cpu")
    dtype = torch.bfloat16

    def __init__(self) -> None:
        self.num_rows: list[int] = []

    def __call__(self, **inputs: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=self.forward(**inputs))

    def forward(self, input_ids: torch.Tensor, **_: Any) -> torch.Tensor:
        return self._logits(input_ids)

    def _logits(self, input_ids: torch.Tensor) -> torch.Tensor:
        self.num_rows.append(input_ids.shape[1])
        following = (input_ids + 1) % VOCAB_SIZE
        return torch.nn.functional.one_hot(following, VOCAB_SIZE).to(self.dtype)


class KeptRows(AllRows):
    """One that gives logits of the rows that are asked for, as transformers' models do."""

    def forward(
        self, input_ids: torch.Tensor, logits_to_keep: torch.Tensor | None = None, **_: Any
    ) -> torch.Tensor:
        assert logits_to_keep is not None
        return self._logits(input_ids[:, logits_to_keep])


def runner(model: AllRows) -> ModelRunner:
    cache = KVCache({0: SHAPE}, num_blocks=8, dtype=torch.bfloat16, device=model.device)
    return ModelRunner(model, cache)  # type: ignore[arg-type]


def sequence(prompt: list[int], block: int, **sampling: Any) -> SequenceState:
    params = SamplingParams(**({"max_tokens": 4, "temperature": 0.0} | sampling))
    request = EngineRequest(request_id="r", prompt_token_ids=prompt, sampling=params)
    return SequenceState(request=request, stop_token_ids=frozenset(), block_ids=[block])


@pytest.mark.parametrize(
    ("model", "num_rows"), [(AllRows(), LEAST_ROWS), (KeptRows(), 2)], ids=["all", "kept"]
)
def test_a_step_samples_the_last_row_of_what_ends_its_sequence(
    model: AllRows, num_rows: int
) -> None:
    whole, part, last = sequence([1, 2, 3, 4], 0), sequence([9] * 8, 1), sequence([5, 6], 2)
    last.append(7)
    segments = [Segment(whole, 0, 4), Segment(part, 2, 3), Segment(last, 2, 1)]
    sampled = runner(model).step(segments)
    # In packed order: decodes first.
    assert [(one, token.token_id) for one, token in sampled] == [(last, 8), (whole, 5)]
    assert model.num_rows == [num_rows]


def test_a_step_that_ends_no_sequence_samples_nothing() -> None:
    part = sequence([1, 2, 3, 4], 0, temperature=1.0, seed=3)
    before = part.source.getstate()
    assert runner(KeptRows()).step([Segment(part, 0, 3)]) == []
    assert part.source.getstate() == before


def test_logits_are_float32_and_the_callers_own() -> None:
    subject = runner(KeptRows())
    segments = [Segment(sequence([1, 2], 0), 0, 2)]
    first = subject.logits(segments)
    assert (first.dtype, first.shape) == (torch.float32, (1, VOCAB_SIZE))
    kept = first.clone()
    subject.logits([Segment(sequence([7], 1), 0, 1)])
    assert torch.equal(first, kept)


def test_sampling_sees_each_sequences_own_parameters() -> None:
    plain, biased = sequence([1], 0), sequence([1], 1, logit_bias={12: 5.0}, num_logprobs=0)
    sampled = runner(AllRows()).step([Segment(plain, 0, 1), Segment(biased, 0, 1)])
    tokens = dict(sampled)
    assert (tokens[plain].token_id, tokens[plain].logprob) == (2, None)
    assert tokens[biased].token_id == 12
    assert tokens[biased].logprob is not None
