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

_MOST = 1 << 40
_STRETCHED = frozenset({"linear", "dynamic"})
_LONGROPE = frozenset({"longrope", "su"})


def context_length(config: Mapping[str, Any]) -> int | None:
    """Most positions of one sequence; None where the configuration states none.

    Args:
        config: the whole config.json, or its part on the language model.
    """
    nested = config.get("text_config")
    text = nested if isinstance(nested, Mapping) else config
    stated = _length(text.get("max_position_embeddings"))
    if stated is None:
        return None
    ropes = _ropes(text)
    originals = [_original(rope, text) for rope in ropes if _kind(rope) in _LONGROPE]
    if originals:
        return min(stated, *(original or stated for original in originals))
    if len(ropes) != 1:
        return stated
    return _stretched(ropes[0], text, stated)


def _stretched(rope: Mapping[str, Any], text: Mapping[str, Any], stated: int) -> int:
    factor = _factor(rope.get("factor"))
    original = _original(rope, text)
    if _kind(rope) == "yarn":
        return max(stated, _times(original or stated, factor))
    if _kind(rope) in _STRETCHED and not str(text.get("model_type")).startswith("gemma3"):
        return max(stated, _times(original, factor)) if original else _times(stated, factor)
    return stated


def _ropes(text: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """RoPE parameters by older or newer name; some models have a set for each kind of layer.

    Where both are there, transformers takes the older one.
    """
    for key in ("rope_scaling", "rope_parameters"):
        parameters = text.get(key)
        if parameters and isinstance(parameters, Mapping):
            sets = [value for value in parameters.values() if isinstance(value, Mapping)]
            return sets or [parameters]
    return []


def _kind(rope: Mapping[str, Any]) -> str:
    return str(rope.get("rope_type") or rope.get("type"))


def _original(rope: Mapping[str, Any], text: Mapping[str, Any]) -> int | None:
    key = "original_max_position_embeddings"
    return _length(text.get(key)) or _length(rope.get(key))


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
