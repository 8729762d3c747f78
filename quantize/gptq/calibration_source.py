"""The source of calibration that ``--calibrate`` names, before its text is read.

Nothing heavy is imported here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from models import plain_file
from quantize.errors import OptionError
from quantize.formats.forms import Linear, Part
from quantize.measuring.texts import MAX_TEXT_BYTES
from quantize.plan.scheme_plan import SchemePlan

WINDOW_TOKENS, NUM_WINDOWS = 512, 32
"""Memory grows with their product."""
SELF = "self"
"""The name of what the model writes itself."""
_PROCESS_BYTES = 650_000_000
"""The memory of Python, torch, transformers and a tokenizer, measured."""


def source_mark(source: str) -> str:
    """The source as a recipe names it: equal where another run would take the same text.

    Raises:
        OptionError: the file cannot be read.
    """
    if source == SELF:
        return SELF
    try:
        # No pipe: the file is read once more, for its text.
        text = plain_file.read_text(Path(source), MAX_TEXT_BYTES, may_be_link=True)
    except OSError as error:
        raise OptionError(f"--calibrate {source} cannot be read: {error.strerror}") from None
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def memory_bytes(plan: SchemePlan, source: str) -> int:
    """The memory of a run, estimated: activations of all windows, and the widest layer's sums."""
    widest = max(max(linear.num_in, linear.num_out) for linear in _layers(plan))
    sums = 3 * 4 * max(linear.num_in for linear in _layers(plan)) ** 2
    run = _PROCESS_BYTES + 4 * 4 * WINDOW_TOKENS * NUM_WINDOWS * widest + sums
    return max(run, _PROCESS_BYTES + plan.source_bytes) if source == SELF else run


def _layers(plan: SchemePlan) -> list[Linear]:
    return [linear for linear in plan.layers if linear.part is Part.LAYERS]
