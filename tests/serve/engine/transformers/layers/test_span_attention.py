"""Attention of a chunk and of decodes equals the definition."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from serve.engine.transformers.layers import span_attention
from serve.engine.transformers.layers.span_attention import Layer


def plain(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    past: int,
    window: int | None,
    scaling: float,
    softcap: float | None,
) -> torch.Tensor:
    """Head by head, row by row."""
    groups = query.shape[1] // keys.shape[0]
    output = torch.zeros(*query.shape[:2], values.shape[-1])
    for row in range(len(query)):
        end = past + row + 1
        first = 0 if window is None else max(0, end - window)
        for head in range(query.shape[1]):
            scores = keys[head // groups, first:end] @ query[row, head] * scaling
            if softcap is not None:
                scores = torch.tanh(scores / softcap) * softcap
            output[row, head] = scores.softmax(-1) @ values[head // groups, first:end]
    return output


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("window", [None, 1, 7, 50])
@pytest.mark.parametrize(
    ("num_rows", "past"), [(2, 0), (32, 0), (33, 0), (70, 0), (1, 9), (40, 64)]
)
def test_it_is_the_definition(
    num_rows: int, past: int, window: int | None, softcap: float | None
) -> None:
    generator = torch.Generator().manual_seed(num_rows)
    query = torch.randn(num_rows, 6, 16, generator=generator)
    # Columns past the last row's own exist in whole blocks; nothing may read them.
    keys = torch.randn(2, past + num_rows + 5, 16, generator=generator)
    values = torch.randn(2, past + num_rows + 5, 8, generator=generator)
    keys[:, past + num_rows :] = values[:, past + num_rows :] = torch.nan
    layer = Layer(index=0, scaling=0.3, sliding_window=window, softcap=softcap)
    ours = span_attention.attend_in_tiles(query, keys, values, layer, past=past)
    theirs = plain(query, keys, values, past=past, window=window, scaling=0.3, softcap=softcap)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_decodes_see_what_their_mask_shows(softcap: float | None) -> None:
    """Two sequences in one batch; what lies beyond a mask may be anything finite."""
    torch.manual_seed(0)
    keys, values = torch.randn(2, 2, 2, 64, 16)  # [B, Hkv, L, D] each
    lengths = (64, 5)
    mask = torch.arange(64) < torch.tensor(lengths)[:, None, None, None]
    span = SimpleNamespace(
        segments=[None, None], reach=lambda *_: SimpleNamespace(blocks=None, mask=mask)
    )
    plan = SimpleNamespace(cache=SimpleNamespace(gather=lambda *_: (keys, values)))
    query = torch.randn(2, 6, 16)
    layer = Layer(index=0, softcap=softcap)
    result = span_attention._decode(plan, layer, span, query)  # type: ignore[arg-type]
    for row, length in enumerate(lengths):
        expected = plain(
            query[row : row + 1],
            keys[row],
            values[row],
            past=length - 1,
            window=None,
            scaling=0.25,
            softcap=softcap,
        )
        torch.testing.assert_close(result[row], expected[0], rtol=1e-5, atol=1e-5)
