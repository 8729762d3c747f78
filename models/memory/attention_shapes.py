"""The keys and values that a decoder's layers keep of a token, from its config.json alone.

It works for any decoder whose configuration uses the usual keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import UnknownShapeError
from models.memory.families import FAMILIES, Family
from models.rules.config_sizes import MAX_LAYERS

MAX_COUNT = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionLayer:
    """The keys and values that one layer keeps of a token.

    Attributes:
        num_kv_heads: heads of keys and values; all heads in plain multi-head attention.
        key_dim: size of a key head.
        value_dim: size of a value head.
        latent_dim: MLA: numbers that stand for all heads' keys and values; None without it. An
            engine that knows no MLA keeps the heads.
        window: tokens that the layer looks back on; None sees all.
    """

    num_kv_heads: int
    key_dim: int
    value_dim: int
    latent_dim: int | None = None
    window: int | None = None


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part that describes the language model, in models that also see or hear."""
    text = config.get("text_config")
    return text if isinstance(text, Mapping) else config


def attention_layers(config: Mapping[str, Any]) -> tuple[AttentionLayer, ...]:
    """The keys and values that each decoder layer keeps of a token.

    Raises:
        UnknownShapeError: the usual keys are missing.
    """
    text = text_config(config)
    try:
        heads = count(text["num_attention_heads"])
        head_dim = head_dim_of(text)
        kv_heads = count(text.get("num_key_value_heads") or heads)
        num_layers = num_layers_of(text)
        latent = None
        key_dim = value_dim = head_dim
        if text.get("kv_lora_rank"):
            latent = count(text["kv_lora_rank"]) + count(text["qk_rope_head_dim"])
            key_dim = count(text["qk_nope_head_dim"]) + count(text["qk_rope_head_dim"])
            value_dim = count(text["v_head_dim"])
            kv_heads = heads
        windows = list(_windows(text, num_layers))
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
        raise UnknownShapeError(f"config.json does not describe its attention: {error}.") from None
    return tuple(
        AttentionLayer(
            num_kv_heads=kv_heads,
            key_dim=key_dim,
            value_dim=value_dim,
            latent_dim=latent,
            window=window,
        )
        for window in windows
    )


def _windows(text: Mapping[str, Any], num_layers: int) -> Iterator[int | None]:
    """Each layer's sliding window: ``layer_types`` where it stands, else the family's own rule."""
    family = FAMILIES.get(str(text.get("model_type")), Family())
    window = text.get("sliding_window", family.default_window)
    if family.window == "on request" and not text.get("use_sliding_window"):
        window = None
    window = None if not window else count(window)
    kinds = text.get("layer_types")
    for layer in range(num_layers):
        if isinstance(kinds, list) and len(kinds) == num_layers:
            slides = kinds[layer] == "sliding_attention"
        elif family.window == "on request":
            slides = layer >= count(text.get("max_window_layers", 28), least=0)
        elif family.window.isdigit():
            every = text.get("sliding_window_pattern") or text.get("_sliding_window_pattern")
            slides = (layer + 1) % count(every or int(family.window)) != 0
        else:
            slides = True
        yield window if slides else None


def num_layers_of(text: Mapping[str, Any]) -> int:
    """The number of decoder layers. Raises ValueError, or KeyError where it is missing."""
    num_layers = count(text["num_hidden_layers"])
    if num_layers > MAX_LAYERS:
        raise ValueError(f"num_hidden_layers is {num_layers:,}; at most {MAX_LAYERS:,} are known")
    return num_layers


def head_dim_of(text: Mapping[str, Any]) -> int:
    """The size of a head. Raises as ``num_layers_of`` does."""
    head_dim = text.get("head_dim")
    if head_dim is None and str(text.get("model_type")).startswith("gemma"):
        return 256
    return count(head_dim or text["hidden_size"] // count(text["num_attention_heads"]))


def count(value: Any, *, least: int = 1) -> int:
    """A size of a configuration. Raises ValueError where it is none."""
    if type(value) is not int or not least <= value < MAX_COUNT:
        raise ValueError(f"{repr(value)[:60]} is no size from {least} to {MAX_COUNT - 1:,}")
    return value
