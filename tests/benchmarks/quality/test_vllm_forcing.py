"""Forcing through vLLM: its files stay below their bound, and no row is taken for another's.

Here an engine stands in that does what vLLM's worker does (standing.py); test_small_model.py has
vLLM itself.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality import vllm_forcing
from benchmarks.quality.sequences import Forced
from tests.benchmarks.quality.standing import VOCAB, Standing, logits


def sequences(sizes: list[tuple[int, int]]) -> list[Forced]:
    return [
        Forced(source="s", given=(n,) * given, scored=tuple(range(2, 2 + scored)))
        for n, (given, scored) in enumerate(sizes)
    ]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 20)), min_size=1, max_size=30),
    st.integers(1, 40_000),
)
async def test_every_row_once_and_never_too_many_bytes(tmp_path_factory, sizes, most_bytes):
    folder = tmp_path_factory.mktemp("f")
    engine = Standing(folder)
    forced = sequences(sizes)
    expected = [
        logits(len(each.given) + number, token)
        for each in forced
        for number, token in enumerate(each.scored)
    ]
    seen = []
    async for rows, found in vllm_forcing.forced_logits(engine, forced, folder, most_bytes):
        assert torch.equal(found, torch.stack([expected[row] for row in rows]))
        seen += rows
    assert sorted(seen) == list(range(len(expected)))
    assert engine.most <= max(most_bytes, vllm_forcing.TOGETHER * VOCAB * 4)
    assert list(folder.iterdir()) == []


async def test_two_sequences_that_begin_alike_do_not_meet(tmp_path):
    forced = [Forced(source="s", given=(1, 2), scored=(3, token)) for token in (4, 5, 4)]
    found = vllm_forcing.forced_logits(Standing(tmp_path), forced, tmp_path, 10**6)
    steps = [(rows, [int(row[1]) for row in step]) async for rows, step in found]
    assert steps == [([0, 1], [3, 4]), ([2, 3], [3, 5]), ([4, 5], [3, 4])]


@pytest.mark.parametrize(
    ("fault", "message"), [({"loses": 1}, "in parts or twice"), ({"says": 1}, "did not say")]
)
async def test_what_is_not_as_planned_is_an_error(tmp_path, fault, message):
    engine = Standing(tmp_path, **fault)
    with pytest.raises(RuntimeError, match=message):
        async for _ in vllm_forcing.forced_logits(engine, sequences([(3, 3)]), tmp_path, 10**6):
            pass
