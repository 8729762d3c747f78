"""Attention of a step's spans by torch, over keys and values that are gathered from the cache.

Grouped-query attention without repeating keys: in decode the G query heads that share one
key-value head become G query rows of that head, [B, Hkv, G, D] against [B, Hkv, L, D].

A prompt chunk in bfloat16 on the CPU goes in tiles of a few rows, each two plain matrix products,
small enough that a tile's scores stay in the cache; a tile reads few columns but those that it may
see (``sizes.py``), so most of the causal half is never computed. torch's fused kernel computes
bfloat16 without the processor's own instructions for it unless it has AMX, several times as slowly
(ADR 0003).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from serve.engine.transformers.layers import tiles
from serve.engine.transformers.layers.sizes import rounded_columns
from serve.engine.transformers.step_plan import Span, StepPlan

_TILE = 32
"""Rows of a prompt chunk whose scores are computed together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer's way to attend: its index in the cache, and settings of ``paged_attention``."""

    index: int
    scaling: float | None = None
    sliding_window: int | None = None
    softcap: float | None = None


def attend(
    plan: StepPlan,
    layer: Layer,
    span: Span,
    *,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
) -> torch.Tensor:
    """Rows of a span. query [P, H, D], the step's own key [T, Hkv, D] -> [t, H, Dv]."""
    rows = slice(span.start, span.stop)
    if span.is_decode:
        return _decode(plan, layer, span, query[rows])
    return _prefill(plan, layer, span, query=query[rows], key=key[rows], value=value[rows])


def _decode(plan: StepPlan, layer: Layer, span: Span, query: torch.Tensor) -> torch.Tensor:
    """One token per sequence, of contexts of like length. query [B, H, D] -> [B, H, Dv]."""
    reach = span.reach(layer.sliding_window, query.device)
    keys, values = plan.cache.gather(layer.index, reach.blocks, len(span.segments))
    num_rows, num_heads, dim = query.shape
    grouped = query.reshape(num_rows, keys.shape[1], -1, dim)  # [B, Hkv, G, D]
    attended = _by_torch(
        grouped, keys, values, mask=reach.mask, scaling=layer.scaling, softcap=layer.softcap
    )
    return attended.reshape(num_rows, num_heads, -1)


def _prefill(
    plan: StepPlan,
    layer: Layer,
    span: Span,
    *,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
) -> torch.Tensor:
    """A chunk of one sequence. query [t, H, D], its own key [t, Hkv, D] -> [t, H, Dv]."""
    reach = span.reach(layer.sliding_window, query.device)
    if reach.mask is None:
        # The chunk starts its sequence: all it sees is in this very step.
        keys, values = key.transpose(0, 1)[None], value.transpose(0, 1)[None]
    else:
        keys, values = plan.cache.gather(layer.index, reach.blocks, 1)
    if query.device.type == "cpu" and query.dtype is torch.bfloat16:
        return attend_in_tiles(query, keys[0], values[0], layer, past=reach.past)
    return _attend_at_once(query, keys, values, reach.mask, layer)


def _attend_at_once(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    layer: Layer,
) -> torch.Tensor:
    """All rows of a chunk. query [t, H, D], keys [1, Hkv, L, D] -> [t, H, Dv]."""
    groups = query.shape[1] // keys.shape[1]
    if groups > 1:
        # Many query rows per key: repeating the keys is cheap next to the products.
        keys = keys.repeat_interleave(groups, dim=1)
        values = values.repeat_interleave(groups, dim=1)
    if mask is None and layer.softcap is not None:
        mask = torch.ones(len(query), len(query), dtype=torch.bool, device=query.device).tril()
    rows = query.transpose(0, 1)[None]
    attended = _by_torch(
        rows, keys, values, mask=mask, scaling=layer.scaling, softcap=layer.softcap
    )
    return attended[0].transpose(0, 1)  # [1, H, t, Dv] -> [t, H, Dv]


def _by_torch(
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
    scores = query @ keys.transpose(-1, -2) * scale_of(scaling, query.shape[-1])  # [B, H, t, L]
    scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1, dtype=torch.float32).to(values.dtype) @ values


def scale_of(scaling: float | None, dim: int) -> float:
    """The factor of scores. None is ``dim ** -0.5``."""
    return dim**-0.5 if scaling is None else scaling


def attend_in_tiles(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, layer: Layer, *, past: int
) -> torch.Tensor:
    """Causal attention of consecutive tokens, in float32 or the processor's bfloat16.

    Args:
        query: ``[t, H, D]``.
        keys: ``[Hkv, L, D]``; row i of the query sees columns up to ``past + i``.
        values: ``[Hkv, L, Dv]``.
        layer: how to attend.
        past: columns before the first row's own.

    Returns:
        ``[t, H, Dv]``.
    """
    num_rows, num_heads, dim = query.shape
    num_groups = keys.shape[0]
    dtype = query.dtype if tiles.has_bfloat16_products() else torch.float32
    num_filled = -(-num_rows // _TILE) * _TILE
    num_columns = rounded_columns(sum(_columns(past + num_filled - _TILE, layer.sliding_window)))
    query = pad(query.to(dtype), (0, 0, 0, 0, 0, num_filled - num_rows))
    keys, values = (
        pad(part[:, : past + num_rows].to(dtype), (0, 0, 0, num_columns - past - num_rows))
        for part in (keys, values)
    )
    output = query.new_empty(num_filled, num_heads, values.shape[-1])
    for start in range(0, num_filled, _TILE):
        first, width = _columns(past + start, layer.sliding_window)
        # Queries that share a key head become rows of one product: [Hkv, G * size, D].
        tile = query[start : start + _TILE].view(_TILE, num_groups, -1, dim).permute(1, 2, 0, 3)
        tile = tile.reshape(num_groups, -1, dim)
        scores = (tile @ keys[:, first : first + width].transpose(-1, -2)).float()
        scores.mul_(scale_of(layer.scaling, dim))  # [Hkv, G * size, width]
        if layer.softcap is not None:
            scores.div_(layer.softcap).tanh_().mul_(layer.softcap)
        _hide(scores, past + start - first, layer.sliding_window)
        weights = scores.softmax(-1).to(values.dtype)
        attended = weights @ values[:, first : first + width]
        attended = attended.view(num_groups, -1, _TILE, values.shape[-1])
        output[start : start + _TILE] = attended.permute(2, 0, 1, 3).reshape(_TILE, num_heads, -1)
    return output[:num_rows]


def _columns(row: int, sliding_window: int | None) -> tuple[int, int]:
    """The first column that a tile reads, and how many: one of few sizes.

    They hang on nothing but the tile's place in its sequence, so that its sums run in one order.

    Args:
        row: the column of the tile's first row's own.
        sliding_window: as in ``paged_attention``.
    """
    first = 0 if sliding_window is None else max(0, row + 1 - sliding_window)
    return first, rounded_columns(row + _TILE - first)


def _hide(scores: torch.Tensor, own: int, sliding_window: int | None) -> None:
    """Set what a row may not see to -inf.

    Args:
        scores: ``[Hkv, G * _TILE, width]``, contiguous.
        own: the column of a tile's first row's own; row i's is ``own + i``.
        sliding_window: as in ``paged_attention``.
    """
    scores = scores.view(-1, _TILE, scores.shape[-1])
    # The columns before the first row's own lie ahead of none.
    ahead = torch.ones(_TILE, scores.shape[-1] - own, dtype=torch.bool).triu(1)
    scores[..., own:].masked_fill_(ahead, -torch.inf)
    if sliding_window is not None:
        rows = torch.arange(own, own + _TILE)[:, None]
        columns = torch.arange(scores.shape[-1])
        scores.masked_fill_(columns <= rows - sliding_window, -torch.inf)
