"""The families of models whose size can be computed, and how each differs from Llama.

To add one: a row in FAMILIES, and its row in tests/models/memory/test_shapes.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The differences of a family from Llama.

    Attributes:
        window: which layers have one: all, every n-th but one, or what the configuration asks for.
    """

    norms: int = 2  # of hidden_size, in each layer
    head_norms: bool = False  # norms of queries and keys, each of head_dim
    bias: str = ""  # which of q, k, v, o have one always
    is_biased_on_request: bool = False  # q, k, v and o with attention_bias
    is_tied: bool = False  # where the configuration does not say
    experts: tuple[str, ...] = ()  # keys of their number, in the order of preference
    window: str = "all"
    default_window: int | None = None
    mla: bool = False


READS_EMBEDDING = frozenset({"qwen2", "qwen3", "llama", "gemma3_text"})
"""Families whose embedding int8 and int4 take too: vLLM 0.32 reads no other's quantised."""

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llama": Family(is_biased_on_request=True),
        "mistral": Family(default_window=4096),
        "mixtral": Family(experts=("num_local_experts",)),
        "phi3": Family(),
        "qwen2": Family(bias="qkv", window="on request"),
        "qwen2_moe": Family(
            bias="qkv", window="on request", experts=("num_experts", "num_local_experts")
        ),
        "qwen3": Family(head_norms=True, is_biased_on_request=True, window="on request"),
        "qwen3_moe": Family(
            head_norms=True,
            is_biased_on_request=True,
            window="on request",
            experts=("num_experts", "num_local_experts"),
        ),
        "gemma": Family(is_tied=True, is_biased_on_request=True),
        "gemma2": Family(
            norms=4, is_tied=True, is_biased_on_request=True, window="2", default_window=4096
        ),
        "gemma3_text": Family(
            norms=4,
            head_norms=True,
            is_tied=True,
            is_biased_on_request=True,
            window="6",
            default_window=4096,
        ),
        "deepseek_v2": Family(mla=True, experts=("n_routed_experts",)),
        "deepseek_v3": Family(mla=True, experts=("n_routed_experts",)),
    }
)
