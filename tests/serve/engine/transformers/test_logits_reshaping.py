"""Penalties, bias and mask on one row: by their definitions, and within float32 at any size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers.logits_reshaping import reshape
from serve.engine.transformers.sequence import SequenceState

ROW = [2.0, -1.0, 0.5, -3.0, 0.0]
"""The prompt is of the tokens 0 and 1; 1, 2 and 2 were generated."""


class Only:
    """A mask that leaves some tokens, and keeps what it was shown."""

    def __init__(self, *left: int) -> None:
        self.left = left

    def apply(self, logits: torch.Tensor) -> None:
        self.seen = logits.clone()
        is_left = torch.zeros(len(logits), dtype=torch.bool)
        is_left[list(self.left)] = True
        logits.masked_fill_(~is_left, -math.inf)

    def accept(self, token_id: int) -> None:
        raise AssertionError(token_id)


def reshaped(mask: Only | None = None, **sampling: Any) -> list[float]:
    params = SamplingParams(**({"max_tokens": 9} | sampling))
    request = EngineRequest(request_id="r", prompt_token_ids=[0, 1], sampling=params)
    sequence = SequenceState(request=request, stop_token_ids=frozenset(), mask=mask)
    sequence.token_ids += [1, 2, 2]
    row = torch.tensor(ROW)
    reshape(row, sequence)
    assert row.dtype == torch.float32
    return row.tolist()


def test_without_parameters_nothing_changes() -> None:
    assert reshaped() == ROW


def test_repetition_is_of_the_prompt_too_and_always_makes_less_likely() -> None:
    assert reshaped(repetition_penalty=2.0) == [1.0, -2.0, 0.25, -3.0, 0.0]


def test_presence_and_frequency_are_of_what_was_generated() -> None:
    assert reshaped(presence_penalty=1.0) == [2.0, -2.0, -0.5, -3.0, 0.0]
    assert reshaped(frequency_penalty=1.0) == [2.0, -2.0, -1.5, -3.0, 0.0]
    assert reshaped(presence_penalty=-1.0, frequency_penalty=0.5) == [2.0, -0.5, 0.5, -3.0, 0.0]


def test_a_bias_comes_after_the_penalties() -> None:
    given = {0: -1.0, 4: 5.0}
    assert reshaped(repetition_penalty=2.0, logit_bias=given) == [0.0, -2.0, 0.25, -3.0, 5.0]


def test_a_mask_comes_last_and_sees_what_it_masks() -> None:
    mask = Only(0, 3)
    assert reshaped(mask, logit_bias={0: 1.0}) == [3.0, -math.inf, -math.inf, -3.0, -math.inf]
    assert mask.seen.tolist() == [3.0, -1.0, 0.5, -3.0, 0.0]


@pytest.mark.parametrize(
    ("sampling", "order"),
    [
        ({"logit_bias": {3: 1e300, 4: 1e299}}, [3, 4, 0, 2, 1]),
        ({"logit_bias": {0: -1e300}}, [2, 4, 1, 3, 0]),
        ({"repetition_penalty": 1e-300}, [0, 2, 4, 1, 3]),
        ({"repetition_penalty": 1e300}, [0, 2, 4, 3, 1]),
        ({"presence_penalty": 1e300}, [0, 4, 3, 1, 2]),
        ({"frequency_penalty": 1e300}, [0, 4, 3, 1, 2]),
    ],
)
def test_extreme_parameters_leave_an_order_whose_best_is_0(
    sampling: dict[str, Any], order: list[int]
) -> None:
    row = reshaped(**sampling)
    assert max(row) == 0
    assert not any(math.isnan(logit) for logit in row)
    ranked = sorted(range(len(row)), key=lambda token: -row[token])
    finite = [token for token in order if math.isfinite(row[token])]
    assert ranked[: len(finite)] == finite
    assert ranked[0] == order[0]


def test_extreme_parameters_and_a_mask_leave_what_the_mask_leaves() -> None:
    mask = Only(1, 2)
    row = reshaped(mask, logit_bias={3: 1e300, 1: 1e299})
    assert torch.isfinite(mask.seen).all()
    assert row[1] == 0
    assert all(row[token] == -math.inf for token in (0, 3, 4))
