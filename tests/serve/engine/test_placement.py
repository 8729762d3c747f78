"""Which engine `--engine auto` takes for a scheme. What runs where is in tests/quantize."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from models.refs import QuantScheme
from serve.engine import gpus, placement, registry
from serve.engine.gpus import Gpu
from serve.engine.registry import choose
from serve.errors import StartupError


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with a Blackwell GPU and a vLLM for it: there is none here to ask."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    placement._capability.cache_clear()
    blackwell = Gpu(
        name="B200", capability=(10, 0), total_bytes=1, free_bytes=1, is_integrated=False
    )
    monkeypatch.setattr(gpus, "visible", lambda: (blackwell,))
    monkeypatch.setattr(torch.cuda, "get_device_capability", None)  # it would leave a context
    monkeypatch.setattr(registry, "_is_installed", lambda name: True)
    monkeypatch.setattr(registry, "_is_cpu_build", lambda: False)
    yield
    placement._capability.cache_clear()


def test_on_a_cpu_the_transformers_engine_takes_what_it_can() -> None:
    for scheme in ("none", "int8", "int4", "int8-weight-only", "int8-w8a8"):
        assert choose("auto", "cpu", scheme=QuantScheme(scheme))[0] == "transformers"
    for engine in ("auto", "vllm", "transformers"):
        with pytest.raises(StartupError, match=r"fp8 does not run .* --quant int8\."):
            choose(engine, "cpu", scheme=QuantScheme.FP8)


@pytest.mark.parametrize(("registers", "nearest"), [("AVX512", "int4"), ("AVX2", "int8")])
def test_bitsandbytes_is_for_the_transformers_engine_here(
    monkeypatch: pytest.MonkeyPatch, registers: str, nearest: str
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: registers)
    for scheme in (QuantScheme.NF4, QuantScheme.BNB_INT8):
        assert choose("auto", "cpu", scheme=scheme)[0] == "transformers"
    with pytest.raises(StartupError, match=rf"vllm-bnb-plugin.* --quant {nearest}\."):
        choose("vllm", "cpu", scheme=QuantScheme.NF4)


@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_auto_takes_the_engine_that_runs_the_scheme() -> None:
    assert placement.place("vllm", "auto").capability == (10, 0)
    for scheme in (QuantScheme.INT4, QuantScheme.INT8):
        assert choose("auto", scheme=scheme)[0] == "vllm"
    assert choose("auto", scheme=QuantScheme.INT8_W8A8) == (
        "transformers",
        "vllm does not run int8-w8a8 here",
    )
    with pytest.raises(StartupError, match=r"vllm#54311.* --quant int8\."):
        choose("vllm", scheme=QuantScheme.INT8_W8A8)
    with pytest.raises(StartupError, match="54311"):
        choose("auto", scheme=QuantScheme.INT8_W8A8, with_adapters=True)


def test_the_fake_engine_has_no_weights() -> None:
    assert placement.refused(QuantScheme.FP8, "fake", "cpu") is None
