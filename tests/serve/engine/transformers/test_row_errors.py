"""Rows that no token can be chosen from: broken models and rules that leave nothing apart."""

from __future__ import annotations

import math

import torch

from serve.engine.transformers.row_errors import none_left, unusable
from serve.errors import InternalError, InvalidRequest

BEST = torch.tensor([1.0, math.nan, math.inf, -math.inf, -3.0])


def test_a_best_that_is_no_number_is_the_model_s_fault():
    found = unusable(BEST)
    assert set(found) == {1, 2, 3}
    assert all(isinstance(error, InternalError) for error in found.values())


def test_nothing_left_is_the_request_s_fault():
    found = none_left(BEST, [0, 1, 3, 4])
    assert {index: type(error) for index, error in found.items()} == {
        1: InternalError,
        3: InvalidRequest,
    }
    assert "allowed_token_ids, bad_words, logit_bias" in str(found[3])


def test_rows_that_were_not_reshaped_are_not_looked_at():
    assert none_left(BEST, [0]) == {}
