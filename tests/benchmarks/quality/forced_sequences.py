"""Sizes of sequences to force on a small random model, and its logits by transformers alone."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from benchmarks.quality.sequences import Forced

SIZES = [(1, 5), (70, 3), (3, 1), (130, 64), (2, 9)]


def plain(folder: Path, forced: Forced) -> torch.Tensor:
    """float32 ``[scored, V]`` by transformers alone."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([forced.given + forced.scored])).logits[0]
    return logits[len(forced.given) - 1 : -1]
