"""Rules for tokens: what may come, what may not, and an end that is kept where nothing else is."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from serve.engine.protocol import SamplingParams
from serve.engine.transformers import token_rules

STOP = 5


def row(generated: list[int] | None = None, **params: Any) -> Any:
    sampling = SamplingParams(**({"max_tokens": 9} | params))
    generated = generated or []
    return SimpleNamespace(
        request=SimpleNamespace(sampling=sampling),
        stop_token_ids=frozenset({STOP}),
        token_ids=[3, 4, *generated],
        num_prompt_tokens=2,
        num_generated=len(generated),
    )


def left(sequence: Any, logits: list[float] | None = None) -> set[int]:
    scores = torch.tensor(logits or [0.0] * 8)
    token_rules.apply(scores, sequence)
    return set((scores > -math.inf).nonzero()[:, 0].tolist())


ALL = set(range(8))


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        (row(), ALL),
        (row(allowed_token_ids=frozenset({1, 2})), {1, 2, STOP}),
        (row(allowed_token_ids=frozenset()), {STOP}),
        (row(min_tokens=1), ALL - {STOP}),
        (row([1], min_tokens=1), ALL),
        (row(allowed_token_ids=frozenset(), min_tokens=1), {STOP}),
        (row(bad_words=((1,), (4, 2))), ALL - {1}),  # 4 is of the prompt
        (row([4], bad_words=((1,), (4, 2))), ALL - {1, 2}),
        (row(allowed_token_ids=frozenset({1, 2}), bad_words=((1,),)), {2, STOP}),
    ],
)
def test_what_may_come(sequence, expected):
    assert left(sequence) == expected


def test_what_the_grammar_took_does_not_come_back():
    ruled_out = [0.0, -math.inf, 0.0, *[0.0] * 5]
    assert left(row(allowed_token_ids=frozenset({1, 2})), ruled_out) == {2, STOP}


@pytest.mark.parametrize(
    ("sequence", "has"),
    [
        (row(), False),
        (row(allowed_token_ids=frozenset()), True),
        (row(bad_words=((1,),)), True),
        (row(min_tokens=1), True),
        (row([1], min_tokens=1), False),
    ],
)
def test_a_row_without_rules_is_left_alone(sequence, has):
    assert token_rules.has_any(sequence) == has
