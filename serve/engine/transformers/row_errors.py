"""Rows of logits that no token can be chosen from, and what their clients are told."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from serve.errors import InternalError, InvalidRequest, RequestError

_NO_SCORES = (
    "The model's scores for the next token are not numbers (NaN or infinite), so none can be "
    "chosen. Change the request; if others fail too, the model's weights are broken."
)
_NONE_LEFT = (
    "No token may come next: allowed_token_ids, bad_words, logit_bias and the grammar leave none. "
    "Loosen one of them."
)


def unusable(best: torch.Tensor) -> dict[int, InternalError]:
    """Rows whose best ``[B]`` is no finite number: NaN somewhere, or infinite."""
    return {
        index: InternalError(_NO_SCORES)
        for index, value in enumerate(best.tolist())
        if not math.isfinite(value)
    }


def _error_of(best: float) -> RequestError:
    """The error of a row by its best: -inf says that no token is left, others are no numbers."""
    return InvalidRequest(_NONE_LEFT) if best == -math.inf else InternalError(_NO_SCORES)


def none_left(best: torch.Tensor, rows: Sequence[int]) -> dict[int, RequestError]:
    """Errors of the rows of which reshaping has left no token, or no number."""
    values = best.tolist()
    return {index: _error_of(values[index]) for index in rows if not math.isfinite(values[index])}
