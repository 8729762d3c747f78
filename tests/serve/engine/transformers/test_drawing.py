"""Draws invert a distribution, cut by top_k, top_p and min_p, in a prefix as in the whole."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from serve.engine.protocol import SamplingParams
from serve.engine.transformers import drawing


def draws(row: list[float], uniforms: list[float], **params: Any) -> list[int]:
    logits = torch.tensor([row]).expand(len(uniforms), -1).clone()
    sampling = SamplingParams(**({"max_tokens": 1} | params))
    return drawing.draw(logits, [sampling] * len(uniforms), uniforms).tolist()


HALVES = [math.log(weight) for weight in (1, 4, 2, 1)]
"""Of a whole of 8: tokens 0 to 3 in their own order, and 1, 2 before the others by rank."""


def test_a_whole_distribution_is_inverted_in_the_order_of_ids():
    assert draws(HALVES, [0.0, 0.12, 0.13, 0.62, 0.63, 0.87, 0.88]) == [0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("params", "left"),
    [
        ({"top_k": 2}, {1, 2}),
        ({"top_k": 1}, {1}),
        ({"top_p": 0.5}, {1}),
        ({"top_p": 0.51}, {1, 2}),
        ({"min_p": 0.5}, {1, 2}),
        ({"min_p": 0.25}, {0, 1, 2, 3}),
        ({"top_k": 2, "top_p": 0.6}, {1}),  # of what top_k left: 4 of 6
        ({"top_p": 0.0}, {1}),
    ],
)
@pytest.mark.parametrize("prefix", [1, 2, 256])
def test_what_is_cut_is_never_drawn(monkeypatch, prefix, params, left):
    monkeypatch.setattr(drawing, "_PREFIX", prefix)
    row = HALVES if params.get("min_p") != 0.25 else [weight + 1e-6 * weight for weight in HALVES]
    assert set(draws(row, [step / 64 for step in range(64)], **params)) <= left
    assert 1 in draws(row, [0.0, 0.4], **params)


@pytest.mark.parametrize("params", [{"top_p": 0.97}, {"min_p": 1e-4}, {"top_k": 900}])
def test_a_prefix_that_is_too_short_changes_nothing(monkeypatch, params):
    row = torch.randn(1000, generator=torch.Generator().manual_seed(0)).tolist()
    uniforms = [step / 50 for step in range(50)]
    expected = draws(row, uniforms, **params)
    monkeypatch.setattr(drawing, "_PREFIX", 8)
    assert draws(row, uniforms, **params) == expected


def test_the_last_token_with_weight_is_the_end():
    """A draw that rounding puts on the total itself names no token without weight."""
    weights = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    just_below = torch.tensor([math.nextafter(1, 0)], dtype=torch.float64)
    assert drawing._invert(weights, just_below).tolist() == [1]
    assert drawing._invert(weights, torch.ones(1, dtype=torch.float64)).tolist() == [1]


def test_a_row_of_nan_names_a_token_that_exists():
    (token,) = draws([math.nan] * 4, [0.5])
    assert 0 <= token < 4


def test_temperatures_share_a_step_and_no_heat_overflows():
    logits = torch.tensor([HALVES, HALVES])
    params = [SamplingParams(max_tokens=1, temperature=value) for value in (1e-30, 1e300)]
    assert drawing.draw(logits, params, [0.9, 0.9]).tolist() == [1, 3]
