"""What ``--calibrate`` names and takes, before a text is read: nothing heavy is imported."""

from __future__ import annotations

import hashlib
from pathlib import Path

from quantize.errors import OptionError
from quantize.protocol import Linear, Part, QuantPlan

LENGTH, COUNT = 512, 32
"""Tokens of a window, and windows: memory grows with their product."""
SELF = "self"
"""What the model writes itself."""
_PROCESS_BYTES = 650_000_000
"""Of Python, torch, transformers and a tokenizer, measured."""


def mark(source: str) -> str:
    """For a recipe: equal where another run would take the same, without reading a token.

    Raises:
        OptionError: the file cannot be read.
    """
    if source == SELF:
        return SELF
    try:
        return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise OptionError(f"--calibrate {source} cannot be read: {error.strerror}") from None


def memory_bytes(plan: QuantPlan, source: str) -> int:
    """Of a run with a text, estimated: activations of all windows, and the widest layer's sums."""
    widest = max(max(linear.num_in, linear.num_out) for linear in _layers(plan))
    sums = 3 * 4 * max(linear.num_in for linear in _layers(plan)) ** 2
    run = _PROCESS_BYTES + 4 * 4 * LENGTH * COUNT * widest + sums
    return max(run, _PROCESS_BYTES + plan.source_bytes) if source == SELF else run


def _layers(plan: QuantPlan) -> list[Linear]:
    return [linear for linear in plan.layers if linear.part is Part.LAYERS]
