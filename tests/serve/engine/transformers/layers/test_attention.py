"""Attention as transformers calls it: stored, attended, and refused where it is of another kind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from serve.engine.transformers.kv_cache import LayerShape
from serve.engine.transformers.layers import attention, compiled_attention
from serve.engine.transformers.layers.attention import Probe, UnsupportedAttention
from tests.serve.engine.transformers.layers.test_span_attention import plain


@pytest.fixture
def _without_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_attention, "takes", lambda *_: False)


class Cache:
    """What a step's cache was asked: pools of one layer, whose tokens are those of the step."""

    def __init__(self) -> None:
        self.cleared: list[tuple[int, list[int]]] = []
        self.stored: list[int] = []

    def clear(self, layer: int, blocks: torch.Tensor) -> None:
        self.cleared.append((layer, blocks.tolist()))

    def append(
        self, layer: int, slots: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> None:
        assert key.shape[0] == value.shape[0] == len(slots)
        self.stored += slots.tolist()


def attending(**settings: Any) -> tuple[Cache, torch.Tensor, torch.Tensor]:
    """A prompt of 40 tokens, six heads over two; what was asked, its answer, and the definition."""
    generator = torch.Generator().manual_seed(0)
    dtype = settings.pop("dtype", torch.float32)
    query = torch.randn(1, 6, 40, 16, generator=generator).to(dtype)
    key, value = (torch.randn(1, 2, 40, 16, generator=generator).to(dtype) for _ in range(2))
    cache = Cache()
    span = SimpleNamespace(
        start=0,
        stop=40,
        is_decode=False,
        reach=lambda window, device: SimpleNamespace(blocks=None, mask=None, past=0),
    )
    plan = SimpleNamespace(
        cache=cache,
        spans=[span],
        slots=torch.arange(64, 104),
        fresh_blocks=torch.tensor([1]),
    )
    module = SimpleNamespace(layer_idx=3)
    result, weights = attention.paged_attention(
        module, query, key, value, None, step_plan=plan, **settings
    )
    assert weights is None
    expected = plain(
        query[0].transpose(0, 1).float(),
        key[0].float(),
        value[0].float(),
        past=0,
        window=None,
        scaling=settings.get("scaling") or 16**-0.5,
        softcap=settings.get("softcap"),
    )
    return cache, result, expected[None]


@pytest.mark.usefixtures("_without_loops")
@pytest.mark.parametrize("scaling", [None, 0.7])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_a_prompt_is_attended_as_defined_in_either_way(
    dtype: torch.dtype, most: float, softcap: float | None, scaling: float | None
) -> None:
    """bfloat16 goes in tiles, other types at once."""
    cache, result, expected = attending(dtype=dtype, softcap=softcap, scaling=scaling)
    assert result.dtype is dtype
    assert (result.float() - expected).norm() / expected.norm() < most
    assert cache.cleared == [(3, [1])]
    assert cache.stored == list(range(64, 104))


def probed(**arguments: Any) -> Probe:
    probe = arguments.setdefault("probe", Probe())
    module = SimpleNamespace(layer_idx=0, is_causal=arguments.pop("is_causal", True))
    if "layer_idx" in arguments:
        module.layer_idx = arguments.pop("layer_idx")
    query, key, value = torch.zeros(1, 6, 4, 8), torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 4, 5)
    result, _ = attention._probe_attention(module, query, key, value, None, **arguments)
    assert result.shape == (1, 4, 6, 5)
    return probe


def test_the_probe_learns_what_a_layer_stores() -> None:
    shapes = probed(sliding_window=7, sinks=None).shapes
    assert shapes == {0: LayerShape(num_kv_heads=2, key_dim=8, value_dim=5, sliding_window=7)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probe": None}, "keyword arguments do not reach the attention layers"),
        ({"sinks": torch.zeros(6)}, "attention takes 'sinks'"),
        ({"is_causal": False}, "attention is not causal"),
        ({"layer_idx": None}, "SimpleNamespace does not know its layer's index"),
    ],
)
def test_attention_of_another_kind_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedAttention, match=message):
        probed(**arguments)


def test_a_layer_that_attends_twice_is_refused() -> None:
    with pytest.raises(UnsupportedAttention, match="layer 0 attends twice in one forward"):
        probed(probe=probed())
