"""Attention over the paged KV cache, as a function that transformers' models call.

Registered with transformers' ``AttentionInterface`` under the name ``intramural``. The model is
called without a cache of its own and with ``step_plan=...``; that keyword reaches every attention
layer, whose new keys and values are stored before the layer attends. transformers makes no mask
for an implementation that it does not know (``masking_utils._preprocess_mask_arguments``), so the
plan's masks are the only ones.

Our own loops attend where they can (``compiled_attention.py``), torch otherwise
(``span_attention.py``).
"""

from __future__ import annotations

import torch
from transformers import AttentionInterface

from serve.engine.transformers.kv_cache import LayerShape
from serve.engine.transformers.layers import compiled_attention
from serve.engine.transformers.layers.span_attention import Layer, attend, scale_of
from serve.engine.transformers.step_plan import StepPlan

IMPLEMENTATION = "intramural"
PROBE = "intramural_probe"

# Arguments that change the result and that this function does not implement.
_UNSUPPORTED = ("s_aux", "sinks", "position_bias", "head_mask", "indexer_mask")


class UnsupportedAttention(Exception):
    """Refusal of a layer that attends in a way this engine does not implement."""


class Probe:
    """Each layer's shapes, learnt in one plain forward with ``attn_implementation=PROBE``."""

    def __init__(self) -> None:
        self.shapes: dict[int, LayerShape] = {}


def register() -> None:
    """Make both implementations known to transformers. Idempotent."""
    AttentionInterface.register(IMPLEMENTATION, paged_attention)
    AttentionInterface.register(PROBE, _probe_attention)


def _layer_index(module: torch.nn.Module) -> int:
    index = getattr(module, "layer_idx", None)
    if not isinstance(index, int):
        raise UnsupportedAttention(f"{type(module).__name__} does not know its layer's index")
    return index


def _probe_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001
    *,
    probe: Probe | None = None,
    sliding_window: int | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Record shapes and return zeros. ``query``: [1, H, T, D]."""
    if probe is None:
        raise UnsupportedAttention("keyword arguments do not reach the attention layers")
    for name in _UNSUPPORTED:
        if kwargs.get(name) is not None:
            raise UnsupportedAttention(f"attention takes {name!r}")
    if not getattr(module, "is_causal", True):
        raise UnsupportedAttention("attention is not causal")
    index = _layer_index(module)
    if index in probe.shapes:
        raise UnsupportedAttention(f"layer {index} attends twice in one forward")
    probe.shapes[index] = LayerShape(
        num_kv_heads=key.shape[1],
        key_dim=key.shape[3],
        value_dim=value.shape[3],
        sliding_window=sliding_window,
    )
    batch, num_heads, num_tokens, _ = query.shape
    return query.new_zeros(batch, num_tokens, num_heads, value.shape[3]), None


def paged_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001
    *,
    step_plan: StepPlan,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: object,  # noqa: ARG001
) -> tuple[torch.Tensor, None]:
    """Store this step's keys and values, then attend.

    Args:
        module: the attention layer; its ``layer_idx`` names the pool.
        query: ``[1, H, P, D]``, positions applied.
        key: ``[1, Hkv, P, D]``.
        value: ``[1, Hkv, P, Dv]``.
        attention_mask: None; the plan has the masks.
        step_plan: this step.
        scaling: of the scores; None is ``D ** -0.5``.
        sliding_window: most tokens that a token sees, itself included; None sees all.
        softcap: scores become ``softcap * tanh(score / softcap)``.

    Returns:
        ``[1, P, H, Dv]``, and None in place of the weights.
    """
    plan = step_plan
    layer = Layer(
        index=_layer_index(module),
        scaling=scaling,
        sliding_window=sliding_window,
        softcap=softcap,
    )
    query = query[0].transpose(0, 1)  # [P, H, D]
    num_tokens = len(plan.slots)
    key = key[0].transpose(0, 1)[:num_tokens]  # [T, Hkv, D]
    value = value[0].transpose(0, 1)[:num_tokens]  # [T, Hkv, Dv]
    if plan.fresh_blocks is not None:
        plan.cache.clear(layer.index, plan.fresh_blocks)
    plan.cache.append(layer.index, plan.slots, key, value)
    if compiled_attention.takes(query, value.shape[-1], softcap):
        scale = scale_of(scaling, query.shape[-1])
        attended = compiled_attention.attend(
            plan, layer.index, query, scale=scale, window=sliding_window
        )
        return attended[None], None
    outputs = [attend(plan, layer, span, query=query, key=key, value=value) for span in plan.spans]
    num_filling = len(query) - num_tokens
    if num_filling:
        outputs.append(outputs[0].new_zeros(num_filling, *outputs[0].shape[1:]))
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return output[None], None
