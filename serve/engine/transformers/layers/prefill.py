"""Attention of a prompt chunk in bfloat16 on the CPU: two matrix products per tile of rows.

torch's fused CPU kernel computes bfloat16 products without the processor's own instructions for
them unless it has AMX; the plain matrix product uses them and is several times faster. So a chunk
goes in tiles of a few rows, small enough that a tile's scores stay in the cache, and a tile reads
only the columns that it may see: the causal half is never computed. ADR 0003 has the figures.
"""

from __future__ import annotations

import torch

from serve.engine.transformers.layers import tiles

_TILE = 32


def is_faster(query: torch.Tensor) -> bool:
    """Whether this beats ``scaled_dot_product_attention`` for such queries."""
    return query.device.type == "cpu" and query.dtype == torch.bfloat16


def attend(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    past: int,
    sliding_window: int | None,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """Causal attention of consecutive tokens.

    Args:
        query: ``[t, H, D]``.
        keys: ``[Hkv, L, D]``; row i of the query sees columns up to ``past + i``.
        values: ``[Hkv, L, Dv]``.
        past: columns before the first row's own.
        sliding_window: most columns that a row sees, its own included.
        scaling: of the scores; None is ``D ** -0.5``.
        softcap: scores become ``softcap * tanh(score / softcap)``.

    Returns:
        ``[t, H, Dv]``.
    """
    num_rows, num_heads, dim = query.shape
    num_groups = keys.shape[0]
    output = query.new_empty(num_rows, num_heads, values.shape[-1])
    dtype = tiles.multiplied_as(query)
    query, keys, values = (part.to(dtype).contiguous() for part in (query, keys, values))
    for start in range(0, num_rows, _TILE):
        stop = min(start + _TILE, num_rows)
        size, end = stop - start, past + stop
        first = 0 if sliding_window is None else max(0, past + start + 1 - sliding_window)
        # Queries that share a key head become rows of one product: [Hkv, G * size, D].
        tile = query[start:stop].view(size, num_groups, -1, dim).permute(1, 2, 0, 3)
        tile = tile.reshape(num_groups, -1, dim)
        scores = (
            tile @ keys[:, first:end].transpose(-1, -2)
        ).float()  # [Hkv, G * size, end - first]
        scores.mul_(dim**-0.5 if scaling is None else scaling)
        if softcap is not None:
            scores.div_(softcap).tanh_().mul_(softcap)
        _hide(scores.view(num_groups, -1, size, end - first), sliding_window)
        weights = scores.softmax(-1).to(values.dtype)
        attended = (weights @ values[:, first:end]).view(num_groups, -1, size, values.shape[-1])
        output[start:stop] = attended.permute(2, 0, 1, 3).reshape(size, num_heads, -1)
    return output


def _hide(scores: torch.Tensor, sliding_window: int | None) -> None:
    """Set what a row may not see to -inf.

    Args:
        scores: ``[Hkv, G, size, L]``; the last row's own column is the last one.
        sliding_window: as in ``attend``.
    """
    size, width = scores.shape[-2:]
    # Only the last `size` columns can lie ahead of a row.
    ahead = torch.ones(size, size, dtype=torch.bool, device=scores.device).triu(1)
    scores[..., width - size :].masked_fill_(ahead, -torch.inf)
    if sliding_window is not None:
        rows = torch.arange(width - size, width, device=scores.device)[:, None]
        columns = torch.arange(width, device=scores.device)
        scores.masked_fill_(columns <= rows - sliding_window, -torch.inf)
