"""Attention over the paged KV cache, as a function that transformers' models call.

Registered with transformers' ``AttentionInterface`` under the name ``intramural``. The model is
called without a cache of its own and with ``step_plan=...``; that keyword reaches every attention
layer, whose new keys and values are stored before the layer attends. transformers makes no mask
for an implementation that it does not know (``masking_utils._preprocess_mask_arguments``), so the
plan's masks are the only ones.

Grouped-query attention without repeating keys: in decode the G query heads that share one
key-value head become G query rows of that head, [B, Hkv, G, D] against [B, Hkv, L, D].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from serve.engine.transformers.kv_cache import LayerShape
from serve.engine.transformers.layers import prefill
from serve.engine.transformers.step_plan import Span, StepPlan

IMPLEMENTATION = "intramural"
PROBE = "intramural_probe"

# Arguments that change the result and that this function does not implement.
_UNSUPPORTED = ("s_aux", "sinks", "position_bias", "head_mask", "indexer_mask")


class UnsupportedAttention(Exception):
    """A layer attends in a way this engine does not implement. The message says how."""


class Probe:
    """Learns each layer's shapes from one plain forward with ``attn_implementation=PROBE``."""

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
        query: ``[1, H, T, D]``, positions applied.
        key: ``[1, Hkv, T, D]``.
        value: ``[1, Hkv, T, Dv]``.
        attention_mask: None; the plan has the masks.
        step_plan: this step.
        scaling: of the scores; None is ``D ** -0.5``.
        sliding_window: tokens in sight, the token itself included.
        softcap: scores become ``softcap * tanh(score / softcap)``.

    Returns:
        ``[1, T, H, Dv]``, and None in place of the weights.
    """
    plan = step_plan
    layer = _Layer(_layer_index(module), scaling, sliding_window, softcap)
    query = query[0].transpose(0, 1)  # [T, H, D]
    key = key[0].transpose(0, 1)  # [T, Hkv, D]
    value = value[0].transpose(0, 1)  # [T, Hkv, Dv]
    if plan.fresh_blocks is not None:
        plan.cache.clear(layer.index, plan.fresh_blocks)
    plan.cache.append(layer.index, plan.slots, key, value)
    outputs = [_span(plan, layer, span, query=query, key=key, value=value) for span in plan.spans]
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return output[None], None


@dataclass(frozen=True, slots=True)
class _Layer:
    """How one layer attends; see ``paged_attention``."""

    index: int
    scaling: float | None
    sliding_window: int | None
    softcap: float | None


def _span(
    plan: StepPlan,
    layer: _Layer,
    span: Span,
    *,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
) -> torch.Tensor:
    """One span of the step: decodes of like length, or one prompt chunk. -> [t, H, Dv]."""
    reach = span.reach(layer.sliding_window, query.device)
    rows = query[span.start : span.stop]
    if span.is_decode:
        keys, values = plan.cache.gather(layer.index, reach.blocks, len(span.segments))
        return _decode(
            rows, keys, values, mask=reach.mask, scaling=layer.scaling, softcap=layer.softcap
        )
    if reach.mask is None:
        # The chunk starts its sequence: all it sees is in this very step.
        keys = key[span.start : span.stop].transpose(0, 1)[None]
        values = value[span.start : span.stop].transpose(0, 1)[None]
    else:
        keys, values = plan.cache.gather(layer.index, reach.blocks, 1)
    if not prefill.is_faster(query):
        return _prefill(
            rows, keys, values, mask=reach.mask, scaling=layer.scaling, softcap=layer.softcap
        )
    return prefill.attend(
        rows,
        keys[0],
        values[0],
        past=reach.past,
        sliding_window=layer.sliding_window,
        scaling=layer.scaling,
        softcap=layer.softcap,
    )


def _decode(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """One token per sequence. query [B, H, D], keys [B, Hkv, L, D] -> [B, H, Dv]."""
    num_rows, num_heads, dim = query.shape
    grouped = query.reshape(num_rows, keys.shape[1], -1, dim)  # [B, Hkv, G, D]
    attended = _attend(grouped, keys, values, mask=mask, scaling=scaling, softcap=softcap)
    return attended.reshape(num_rows, num_heads, -1)


def _prefill(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """A chunk of one sequence. query [t, H, D], keys [1, Hkv, L, D] -> [t, H, Dv]."""
    groups = query.shape[1] // keys.shape[1]
    if groups > 1:
        # Many query rows per key: repeating the keys is cheap next to the products.
        keys = keys.repeat_interleave(groups, dim=1)
        values = values.repeat_interleave(groups, dim=1)
    if mask is None and softcap is not None:
        mask = torch.ones(len(query), len(query), dtype=torch.bool, device=query.device).tril()
    attended = _attend(
        query.transpose(0, 1)[None], keys, values, mask=mask, scaling=scaling, softcap=softcap
    )
    return attended[0].transpose(0, 1)  # [1, H, t, Dv] -> [t, H, Dv]


def _attend(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """[B, H, t, D] x [B, H, L, D] -> [B, H, t, Dv]; without a mask it is causal."""
    if softcap is None:
        return scaled_dot_product_attention(
            query, keys, values, attn_mask=mask, is_causal=mask is None, scale=scaling
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = query @ keys.transpose(-1, -2) * scale  # [B, H, t, L]
    scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1, dtype=torch.float32).to(values.dtype) @ values
