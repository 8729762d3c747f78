"""Teacher forcing on a small random model: against transformers' own forward, and itself."""

from __future__ import annotations

import pytest
import torch

from benchmarks.quality import forcing, sequences
from benchmarks.quality.sequences import Forced
from tests.benchmarks.quality.forced_sequences import plain


def test_logits_are_those_of_a_plain_forward(folder, engine, forced):
    wanted = torch.cat([plain(folder, each) for each in forced])
    seen: list[int] = []
    for rows, logits in forcing.forced_logits(engine, forced):
        assert torch.allclose(logits, wanted[rows], atol=1e-3, rtol=1e-3)
        seen += rows
    assert sorted(seen) == list(range(len(wanted)))


def test_a_sequence_beyond_the_context_is_refused(engine):
    long = Forced(source="x", given=(1,) * 250, scored=(2,) * 20)
    with pytest.raises(ValueError, match="smaller --window"):
        list(forcing.forced_logits(engine, [long]))


async def test_answers_end_with_what_ended_them(engine, forced):
    found = await sequences.answers(engine, [each.given for each in forced])
    ends = engine.info.eos_token_ids
    rooms = [min(sequences.LONGEST_ANSWER, 256 - len(each.given)) for each in forced]
    assert all(
        answer[-1] in ends or len(answer) == room for answer, room in zip(found, rooms, strict=True)
    )


def test_a_cache_that_is_too_small_is_refused(engine):
    long = Forced(source="x", given=(1,) * 250, scored=(2,) * 6)
    engine_info = engine.info
    assert forcing.kv_tokens(256) <= engine_info.kv_cache_tokens < forcing.kv_tokens(257)
    assert next(forcing.forced_logits(engine, [long]))[0] == [0]
