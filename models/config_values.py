"""Values of a config.json that no model can be computed with, whatever its weights.

models/rules/config_sizes.py refuses sizes that would take all memory; here is what would make NaN
of every logit, divide by nothing, or be of a type that an engine stumbles over later, in words of
its own. Keys that are not there are not looked at: an engine has its family's own value.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from models import rope
from models.memory.families import FAMILIES, Family
from models.rules.numbers import is_number, is_positive, shown


def _is_not_negative(value: object) -> bool:
    return is_number(value) and value >= 0  # type: ignore[operator]


def _is_share(value: object) -> bool:
    return is_positive(value) and value <= 1  # type: ignore[operator]


def _is_size(value: object) -> bool:
    return type(value) is int and value >= 1


def _is_id(value: object) -> bool:
    return type(value) is int


def _are_ids(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_id, value))


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


_KINDS: tuple[tuple[Callable[[object], bool], str, tuple[str, ...]], ...] = (
    (
        _is_switch,
        "neither true nor false",
        ("tie_word_embeddings", "attention_bias", "mlp_bias", "use_sliding_window"),
    ),
    (
        _is_size,
        "no whole number above 0",
        (
            *("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
            *("hidden_size", "vocab_size", "n_embd", "n_head", "n_layer"),
        ),
    ),
    (
        is_positive,
        "no number above 0",
        (
            *("query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"),
            "logits_scaling",
        ),
    ),
    (
        _is_not_negative,
        "no number of 0 or more",
        (
            *("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "layernorm_epsilon"),
            *("norm_eps", "norm_epsilon"),
        ),
    ),
    (_is_share, "no number above 0 and up to 1", ("partial_rotary_factor", "rotary_pct")),
)
_LISTED = frozenset({"num_key_value_heads", "num_attention_heads", "head_dim"})
"""Sizes that some families give for each layer, as a list."""


def fault(config: Mapping[str, Any]) -> str | None:
    """The first fault, as a clause about the folder; None without one.

    Args:
        config: the whole config.json.
    """
    nested = config.get("text_config")
    text = nested if isinstance(nested, Mapping) else config
    return next(filter(None, itertools.chain(_faults(text), (_eos_fault(config),))), None)


def _eos_fault(config: Mapping[str, Any]) -> str | None:
    parts = [config, *(part for part in config.values() if isinstance(part, Mapping))]
    for value in (part.get("eos_token_id") for part in parts):
        if value is None or _is_id(value) or _are_ids(value):
            continue
        return (
            f"eos_token_id is {shown(value)} in its config.json, which is no token id and no list "
            "of them"
        )
    return None


def _faults(text: Mapping[str, Any]) -> Iterator[str | None]:
    for is_right, otherwise, keys in _KINDS:
        for key in keys:
            value = text.get(key)
            is_list = isinstance(value, list) and key in _LISTED
            if value is not None and not is_list and not is_right(value):
                yield f"{key} is {shown(value)} in its config.json, which is {otherwise}"
    yield _heads_fault(text)
    yield _window_fault(text)
    yield rope.fault(text)


def _heads_fault(text: Mapping[str, Any]) -> str | None:
    heads, groups = text.get("num_attention_heads"), text.get("num_key_value_heads")
    if type(heads) is int and type(groups) is int and groups and heads % groups:
        return (
            f"num_key_value_heads is {groups} in its config.json, which does not divide the "
            f"num_attention_heads {heads}"
        )
    return None


def _window_fault(text: Mapping[str, Any]) -> str | None:
    """A window that a layer would look back on, and that has no tokens."""
    window, kinds = text.get("sliding_window"), text.get("layer_types")
    if window is None or isinstance(window, list) or _is_size(window):
        return None
    family = FAMILIES.get(str(text.get("model_type")), Family())
    is_asked_for = text.get("use_sliding_window", family.window != "on request")
    if not is_asked_for or (isinstance(kinds, list) and "sliding_attention" not in kinds):
        return None
    return (
        f"sliding_window is {shown(window)} in its config.json, which is no whole number above 0 "
        "(null: no window)"
    )
