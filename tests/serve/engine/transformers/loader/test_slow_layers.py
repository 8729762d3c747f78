"""Weights that are unpacked tile by tile on a GPU are told of at start, with the engine to take."""

from __future__ import annotations

import pytest

from models.refs import QuantScheme
from serve.engine.transformers.loader import slow_layers
from serve.engine.transformers.loader.stored_scheme import DeclaredScheme


@pytest.mark.parametrize(
    ("scheme", "device", "is_told"),
    [
        (QuantScheme.INT4, "cuda", True),
        (QuantScheme.INT8, "cuda", True),
        (QuantScheme.INT4, "cpu", False),
        (QuantScheme.NF4, "cuda", False),  # bitsandbytes has kernels of its own
        (None, "cuda", False),
    ],
)
def test_only_what_is_slow_is_told(
    scheme: QuantScheme | None, device: str, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    slow_layers.tell(None if scheme is None else DeclaredScheme(scheme=scheme), device)
    assert ("--engine vllm" in caplog.text) is is_told
