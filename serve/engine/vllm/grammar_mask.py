"""Masks of grammars in vLLM's worker on a CPU, and logprobs that they leave alone.

vLLM rules tokens out in the logits before it takes the logprobs of them, so that a completion with
a grammar would have those of the tokens that are left: 0 for a forced one. Here they are of the
model's own distribution, as everywhere. And masks take no import of xgrammar, for which the first
grammar, and every stream beside it, would wait 1 s and more.

``install`` is for a worker's process. On GPUs vLLM's own kernels are used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from vllm.v1.sample.sampler import Sampler
from vllm.v1.worker import gpu_model_runner

_softmax = Sampler.compute_logprobs


class _Step:
    """A step's logits, masked, and as they were before it. None where nobody asks for logprobs."""

    masked: torch.Tensor | None = None
    plain: torch.Tensor | None = None


def install() -> None:
    """Take the places of vLLM's functions. Before the first step."""
    gpu_model_runner.apply_grammar_bitmask = apply
    Sampler.compute_logprobs = staticmethod(compute_logprobs)


def apply(scheduled: Any, grammars: Any, batch: Any, logits: torch.Tensor) -> None:
    """Rule out what grammars do not allow, in place.

    Args:
        scheduled: vLLM's SchedulerOutput: a sequence has a row for each draft, and one more.
        grammars: vLLM's GrammarOutput: the masks of those that have a grammar, in an order of
            their own. [rows, words] of int32, a bit for each token.
        batch: vLLM's InputBatch, in the order of the logits.
        logits: [rows, tokens].
    """
    num_rows = {
        name: 1 + len(scheduled.scheduled_spec_decode_tokens.get(name, ()))
        for name in batch.req_ids
    }
    first, at = {}, 0
    for name, count in num_rows.items():
        first[name] = at
        at += count
    held = grammars.structured_output_request_ids
    if any(name in batch.num_logprobs for name in held):
        _Step.masked, _Step.plain = logits, logits.clone()
    at = 0
    for name in held:
        # One that has just been taken out of the batch has masks nevertheless.
        count = 1 + len(scheduled.scheduled_spec_decode_tokens.get(name, ()))
        if name in first:
            for index in range(count):
                _mask(logits[first[name] + index], grammars.grammar_bitmask[at + index])
        at += count


def _mask(row: torch.Tensor, words: np.ndarray[Any, Any]) -> None:
    allowed = np.unpackbits(words.view(np.uint8), bitorder="little")[: len(row)]
    row[: len(allowed)].masked_fill_(torch.from_numpy(allowed == 0), -math.inf)
    row[len(allowed) :] = -math.inf


def compute_logprobs(logits: torch.Tensor) -> torch.Tensor:
    """The logs of probabilities, before any mask. [rows, tokens]"""
    plain = _Step.plain if logits is _Step.masked else None
    _Step.masked = _Step.plain = None
    probabilities: torch.Tensor = _softmax(logits if plain is None else plain)
    return probabilities
