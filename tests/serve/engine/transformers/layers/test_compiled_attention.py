"""Rows of a step by compiled loops: what each sees, and that nothing else changes it."""

from __future__ import annotations

import torch

from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers.kv_cache import KVCache, LayerShape
from serve.engine.transformers.layers import compiled_attention
from serve.engine.transformers.sequence import Segment, SequenceState
from serve.engine.transformers.step_plan import make_plan
from tests.serve.engine.transformers.layers.test_attention import plain

SHAPE = LayerShape(num_kv_heads=2, key_dim=8, value_dim=8, sliding_window=None)
CPU = torch.device("cpu")


def sequence(length: int, blocks: list[int]) -> SequenceState:
    sampling = SamplingParams(max_tokens=9, temperature=0)
    request = EngineRequest(request_id="", prompt_token_ids=[1] * length, sampling=sampling)
    return SequenceState(request=request, stop_token_ids=frozenset(), block_ids=blocks)


def attended(
    cache: KVCache, query: torch.Tensor, segments: list[Segment], window: int | None
) -> torch.Tensor:
    """Of the first sequence's tokens; others' queries are all ones."""
    first = segments[0]
    plan = make_plan(segments, cache, CPU)
    at = [
        query[token] if segment.sequence is first.sequence else torch.ones_like(query[0])
        for segment in plan.segments
        for token in range(segment.start, segment.end)
    ]
    at += [at[0]] * (plan.input_ids.shape[1] - len(at))  # rows of no sequence
    rows = torch.stack(at)
    result = compiled_attention.attend(plan, 0, rows, scale=0.3, window=window)
    assert not result[len(plan.slots) :].any()
    offset = sum(
        one.num_tokens for one in plan.segments[: [s is first for s in plan.segments].index(True)]
    )
    return result[offset : offset + first.num_tokens]


def test_chunks_decodes_and_company_make_no_difference() -> None:
    torch.manual_seed(0)
    cache = KVCache({0: SHAPE}, num_blocks=16, dtype=torch.float32, device=CPU)
    cache.keys[0].normal_()
    cache.values[0].normal_()
    blocks, other = [4, 1, 6, 9, 8], sequence(90, [0, 2, 11])
    one, query = sequence(150, blocks), torch.randn(150, 4, 8)
    for window in (None, 20):
        whole = attended(cache, query, [Segment(one, 0, 150)], window)
        keys, values = (
            pool[0][blocks].flatten(0, 1)[:150].transpose(0, 1)
            for pool in (cache.keys, cache.values)
        )
        expected = plain(query, keys, values, past=0, window=window, scaling=0.3, softcap=None)
        torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-5)
        for start, stop in ((0, 70), (70, 149), (149, 150)):
            part = [Segment(one, start, stop - start), Segment(other, 0, 90)]
            assert torch.equal(attended(cache, query, part, window), whole[start:stop])


def test_what_the_loops_do_not_know_is_left_to_torch() -> None:
    query = torch.zeros(3, 4, 8)
    assert compiled_attention.takes(query, 8, None)
    assert not compiled_attention.takes(query, 8, 30.0)
    assert not compiled_attention.takes(query, 16, None)
    assert not compiled_attention.takes(query.half(), 8, None)
    assert not compiled_attention.takes(query[..., :7], 7, None)
    assert not compiled_attention.takes(query.to("meta"), 8, None)
