"""The longest context of a model, from its config.json: its positions, stretched by RoPE scaling.

YaRN (arXiv:2309.00071) and linear interpolation (arXiv:2306.15595) stretch what a model was trained
on, and checkpoints state the length before the stretch or after it. Hugging Face's convention:

- ``yarn``: ``original_max_position_embeddings`` times ``factor``, unless the configuration states
  more. transformers and DeepSeek state the length after the stretch, Qwen's model cards the one
  before.
- ``linear`` and ``dynamic``: ``max_position_embeddings`` times ``factor``; Gemma 3, and models with
  RoPE of their own for each kind of layer, state the length after it.
- ``llama3`` and all others: the length stated.
- ``longrope``: the original length. Beyond it the model would switch all sequences of a step to
  other frequencies, depending on what else is in the batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from models import rope

_MOST = 1 << 40
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len")
"""Keys of the length, by family: GPT-2 has the second, MPT the third."""
_STRETCHED = frozenset({"linear", "dynamic"})


def context_length(config: Mapping[str, Any]) -> int | None:
    """Most positions of one sequence; None where the configuration states none.

    Args:
        config: the whole config.json, or its part on the language model.
    """
    nested = config.get("text_config")
    text = nested if isinstance(nested, Mapping) else config
    stated = next(filter(None, (_length(text.get(key)) for key in _LENGTHS)), None)
    if stated is None:
        return None
    ropes = rope.parameters(text)
    originals = [_original(one, text) for one in ropes if rope.kind(one) in rope.LONGROPE]
    if originals:
        return min(stated, *(original or stated for original in originals))
    if len(ropes) != 1:
        return stated
    return _stretched(ropes[0], text, stated)


def _stretched(one: Mapping[str, Any], text: Mapping[str, Any], stated: int) -> int:
    factor = _factor(one.get("factor"))
    original = _original(one, text)
    if rope.kind(one) == "yarn":
        return max(stated, _times(original or stated, factor))
    if rope.kind(one) in _STRETCHED and not str(text.get("model_type")).startswith("gemma3"):
        return max(stated, _times(original, factor)) if original else _times(stated, factor)
    return stated


def _original(one: Mapping[str, Any], text: Mapping[str, Any]) -> int | None:
    key = "original_max_position_embeddings"
    return _length(text.get(key)) or _length(one.get(key))


def _length(value: Any) -> int | None:
    """A length, also one that was written as 4096.0; None for what is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value < _MOST else None


def _factor(value: Any) -> float:
    """A factor that stretches; 1 for what does not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 1.0
    return float(value) if math.isfinite(value) and 1 <= value < _MOST else 1.0


def _times(length: int, factor: float) -> int:
    return min(int(length * factor), _MOST - 1)
