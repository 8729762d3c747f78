"""Masks beside vLLM's own function for them, and the logprobs that they must not touch."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("vllm", reason="vLLM is not installed")
torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # of vLLM's own imports

VOCAB_SIZE = 70  # not a whole number of words


def step(
    drafts: list[int], held: list[int], seed: int, num_words: int = 3
) -> tuple[Any, Any, Any, Any]:
    """What vLLM gives its function: sequences of so many drafts, some of which have a grammar."""
    source = np.random.default_rng(seed)
    names = [f"r{index}" for index in range(len(drafts))]
    tokens = {name: [1] * count for name, count in zip(names, drafts, strict=True) if count}
    rows = sum(1 + drafts[index] for index in held)
    words = source.integers(-(2**31), 2**31, (rows, num_words), dtype=np.int32)
    logits = torch.from_numpy(source.normal(size=(sum(drafts) + len(drafts), VOCAB_SIZE)))
    return (
        SimpleNamespace(scheduled_spec_decode_tokens=tokens),
        SimpleNamespace(
            structured_output_request_ids=[names[index] for index in held], grammar_bitmask=words
        ),
        SimpleNamespace(req_ids=names, num_logprobs={}),
        logits.float(),
    )


@st.composite
def steps(draw: st.DrawFn) -> tuple[Any, Any, Any, Any]:
    drafts = draw(st.lists(st.integers(0, 3), min_size=1, max_size=5))
    held = draw(st.lists(st.sampled_from(range(len(drafts))), unique=True, min_size=1))
    return step(drafts, held, draw(st.integers(0, 2**32)))


@given(steps())
def test_masks_are_vllms_own(given_step: tuple[Any, Any, Any, Any]) -> None:
    from vllm.v1.structured_output.utils import apply_grammar_bitmask

    from serve.engine.vllm.grammar_mask import apply

    *arguments, logits = given_step
    expected, masked = logits.clone(), logits.clone()
    apply_grammar_bitmask(*arguments, expected)
    apply(*arguments, masked)
    assert torch.equal(masked, expected)


def test_tokens_beyond_the_mask_are_ruled_out_and_the_gone_are_passed_over() -> None:
    from serve.engine.vllm.grammar_mask import apply

    scheduled, grammars, batch, logits = step([0, 0], [1, 0], 5, num_words=2)
    grammars.grammar_bitmask[:] = -1
    batch.req_ids = ["r0"]
    masked = logits[:1].clone()
    apply(scheduled, grammars, batch, masked)
    assert torch.equal(masked[:, :64], logits[:1, :64])
    assert (masked[:, 64:] == -math.inf).all()


def test_logprobs_are_of_the_model_for_those_who_ask() -> None:
    from serve.engine.vllm.grammar_mask import apply, compute_logprobs

    scheduled, grammars, batch, logits = step([0, 0], [0], 7)
    plain = logits.log_softmax(dim=-1)
    silent = logits.clone()
    apply(scheduled, grammars, batch, silent)
    assert not torch.equal(compute_logprobs(silent), plain)
    batch.num_logprobs = {"r0": 2}
    asked = logits.clone()
    apply(scheduled, grammars, batch, asked)
    assert torch.equal(compute_logprobs(asked), plain)
    # Each step's are its own.
    assert torch.equal(compute_logprobs(asked), asked.log_softmax(dim=-1))
