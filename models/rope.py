"""RoPE parameters of a config.json, and those that no model can be computed with.

Rotary position embeddings (arXiv:2104.09864) turn pairs of numbers by angles made of
``rope_theta``; what stretches a context changes the angles. A theta or a factor of 0 makes NaN of
every logit, a factor below 0 other positions than the trained ones, and no engine says so in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.rules.numbers import is_positive, shown

LONGROPE = frozenset({"longrope", "su"})
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
}
_POSITIVE = (
    *("rope_theta", "factor", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow"),
    *("attention_factor", "original_max_position_embeddings"),
)
_LISTS = ("short_factor", "long_factor")


def parameters(text: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """RoPE parameters by older or newer name; some models have a set for each kind of layer.

    Where both are there, transformers takes the older one.
    """
    for key in ("rope_scaling", "rope_parameters"):
        found = text.get(key)
        if found and isinstance(found, Mapping):
            sets = [value for value in found.values() if isinstance(value, Mapping)]
            return sets or [found]
    return []


def kind(rope: Mapping[str, Any]) -> str:
    """The name of what is done with these parameters; ``default`` where none is given."""
    return str(rope.get("rope_type") or rope.get("type") or "default")


def fault(text: Mapping[str, Any]) -> str | None:
    """A value that no model can be computed with, as a clause; None without one.

    Args:
        text: config.json, or its part on the language model.
    """
    for key in ("rope_scaling", "rope_parameters"):
        if text.get(key) is not None and not isinstance(text[key], Mapping):
            return f"{key} is {shown(text[key])} in its config.json, which is no table"
    for key in ("rope_theta", "rope_local_base_freq"):
        if text.get(key) is not None and not is_positive(text[key]):
            return f"{key} is {shown(text[key])} in its config.json, which is no number above 0"
    return next(filter(None, (_fault(rope, text) for rope in parameters(text))), None)


def _fault(rope: Mapping[str, Any], text: Mapping[str, Any]) -> str | None:
    name = kind(rope)
    where = f"its config.json's RoPE parameters ({name})"
    for key in _REQUIRED.get(name, _LISTS if name in LONGROPE else ()):
        if rope.get(key) is None:
            return f"{where} lack {key}"
    for key in _POSITIVE:
        if rope.get(key) is not None and not is_positive(rope[key]):
            return f"{where} have the {key} {shown(rope[key])}, which is no number above 0"
    if name == "llama3" and not rope["low_freq_factor"] < rope["high_freq_factor"]:
        return (
            f"{where} have the low_freq_factor {shown(rope['low_freq_factor'])}, which is not "
            f"below the high_freq_factor {shown(rope['high_freq_factor'])}"
        )
    return _lists_fault(rope, text, where) if name in LONGROPE else None


def _lists_fault(rope: Mapping[str, Any], text: Mapping[str, Any], where: str) -> str | None:
    """LongRoPE (arXiv:2402.13753) has a factor for each pair of numbers that is turned."""
    size = _num_pairs(rope, text)
    for key in _LISTS:
        factors = rope[key]
        if not isinstance(factors, list) or not all(map(is_positive, factors)):
            return f"{where} have a {key} that is no list of numbers above 0"
        if size is not None and len(factors) != size:
            return f"{where} have a {key} of {len(factors)} numbers; heads of this size need {size}"
    return None


def _num_pairs(rope: Mapping[str, Any], text: Mapping[str, Any]) -> int | None:
    """Pairs of numbers of a head that are turned; None where the sizes do not tell."""
    share = rope.get("partial_rotary_factor", text.get("partial_rotary_factor"))
    try:
        size = text.get("qk_rope_head_dim") or text.get("head_dim")
        size = size or text["hidden_size"] // text["num_attention_heads"]
        return int(size * (1.0 if share is None else share)) // 2
    except (KeyError, TypeError, ZeroDivisionError):
        return None
