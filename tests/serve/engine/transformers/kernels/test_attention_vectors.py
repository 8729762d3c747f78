"""Parts of attention over one block, in small functions that Numba compiles."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.kernels import attention_vectors
from serve.engine.transformers.kernels.compiling import exact
from serve.engine.transformers.kernels.intrinsics import pointer
from serve.engine.transformers.kernels.layout import STATE
from serve.engine.transformers.kv_cache import BLOCK_SIZE

LANES = 8


@pytest.mark.parametrize(("low", "high"), [(0, BLOCK_SIZE), (3, 61), (17, 18)])
def test_weights_are_those_of_what_is_in_sight(low: int, high: int) -> None:
    soften = attention_vectors.soften(LANES)

    @exact
    def run(scores, low, high, state):
        soften(pointer(scores), low, high, pointer(state))

    torch.manual_seed(0)
    given = torch.randn(BLOCK_SIZE) * 5
    scores = given.clone()
    scores[:low] = scores[high:] = torch.nan
    state = torch.full((STATE,), torch.nan)
    state[0], state[1] = 2.5, 3.0
    run(scores.data_ptr(), low, high, state.data_ptr())
    seen = given[low:high].double()
    largest = max(2.5, float(seen.max()))
    weights = (seen - largest).exp()
    torch.testing.assert_close(scores[low:high].double(), weights, rtol=1e-6, atol=0)
    assert not scores[:low].any()
    assert not scores[high:].any()
    factor = float(torch.tensor(2.5 - largest, dtype=torch.float64).exp())
    expected = torch.tensor([largest, 3.0 * factor + float(weights.sum()), factor])
    torch.testing.assert_close(state[:3], expected, rtol=1e-6, atol=0)
