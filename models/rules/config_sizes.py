"""Sizes of a network in a configuration: whole numbers, within what a network can have.

An engine builds an object for each layer and expert, and tables by head size, before it compares
anything with the stored weights; a config.json of 100,000,000 layers would take all memory there.
The limits are some ten times and more of what is published. A list is a size for each layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

MAX_LAYERS = 2000
MAX_WIDTH = 1 << 24
MAX_VOCABULARY = 1 << 24
MAX_POSITIONS = 1 << 31
MAX_PARTS = 1 << 16
"""Heads, the size of one, and experts of a layer."""

LIMITS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(
            ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_nextn_predict_layers"),
            MAX_LAYERS,
        ),
        **dict.fromkeys(
            (
                *("hidden_size", "n_embd", "d_model", "intermediate_size", "moe_intermediate_size"),
                *("shared_expert_intermediate_size", "kv_lora_rank", "q_lora_rank"),
            ),
            MAX_WIDTH,
        ),
        "vocab_size": MAX_VOCABULARY,
        **dict.fromkeys(("max_position_embeddings", "n_positions"), MAX_POSITIONS),
        **dict.fromkeys(
            (
                *("num_attention_heads", "num_key_value_heads", "n_head", "head_dim"),
                *("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "num_experts"),
                *("num_local_experts", "n_routed_experts", "n_shared_experts"),
                "num_experts_per_tok",
            ),
            MAX_PARTS,
        ),
    }
)


def fault(key: str, value: Any) -> str | None:
    """The reason why this size is refused; None for one that a network can have, or another key."""
    most = LIMITS.get(key)
    if most is None or value is None:
        return None
    sizes = value if isinstance(value, list) else [value]
    for size in sizes:
        if size is None or (type(size) is int and -1 <= size <= most):
            continue
        kind = "is no whole number" if type(size) is not int else f"is not within 0 to {most:,}"
        return f"its key {key!r} holds {repr(size)[:60]}, which {kind}; correct it, or fetch anew"
    return None
