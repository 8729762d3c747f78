"""The table of which scheme runs on which engine and device, and the nearest that does.

Asked before anything is quantised or loaded. Rows for a GPU are from reading vLLM 0.32 and its
issues; nobody has run them here. docs/quantization.md says what was run. On a CPU vLLM multiplies
packed weights by a kernel of ours (serve/engine/vllm/packed_kernel.py): its own takes 4 bits
without zero points only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.refs import QuantScheme

EngineName = Literal["vllm", "transformers"]
Capability = tuple[int, int]

LOWEST: Capability = (7, 5)
"""Turing: vLLM has no kernels for quantised weights on what came before."""
BLACKWELL: Capability = (10, 0)

BITSANDBYTES = frozenset({QuantScheme.NF4, QuantScheme.BNB_INT8})


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The engine and the device that a model is to run on.

    Attributes:
        engine: which one.
        capability: CUDA compute capability of the GPU; None is the CPU.
        has_avx512: of the CPU's registers; vLLM's CPU build has fewer kernels without them.
        has_bitsandbytes: the package is installed; nf4 is dequantised by it.
        has_vllm_plugin: vllm-bnb-plugin is installed, without which vLLM knows no bitsandbytes.
    """

    engine: EngineName
    capability: Capability | None = None
    has_avx512: bool = True
    has_bitsandbytes: bool = True
    has_vllm_plugin: bool = False

    def __str__(self) -> str:
        if self.capability is None:
            return f"the {self.engine} engine on a CPU"
        major, minor = self.capability
        return f"the {self.engine} engine on a GPU of compute capability {major}.{minor}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The reason why a scheme does not run somewhere, and the nearest one that does.

    Attributes:
        scheme: that was asked for.
        place: where.
        reason: completes "because".
        instead: works there; ``none`` where nothing smaller than full weights does.
    """

    scheme: QuantScheme
    place: Placement
    reason: str
    instead: QuantScheme

    def __str__(self) -> str:
        return f"{self.scheme} does not run on {self.place}: {self.reason}. {self.advice}"

    @property
    def advice(self) -> str:
        if self.instead is QuantScheme.NONE:
            return "Nothing smaller runs there: take the full weights (--quant none)."
        return f"The nearest that does: --quant {self.instead}."


NEAREST: Mapping[QuantScheme, tuple[QuantScheme, ...]] = {
    QuantScheme.INT8: (QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.FP8, QuantScheme.INT4),
    QuantScheme.INT8_WEIGHT_ONLY: (QuantScheme.INT8, QuantScheme.FP8, QuantScheme.INT4),
    QuantScheme.INT8_W8A8: (QuantScheme.INT8, QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.INT4),
    QuantScheme.FP8: (QuantScheme.INT8, QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.INT4),
    QuantScheme.INT4: (QuantScheme.INT8, QuantScheme.INT8_WEIGHT_ONLY),
    QuantScheme.NF4: (QuantScheme.INT4, QuantScheme.INT8, QuantScheme.INT8_WEIGHT_ONLY),
    QuantScheme.BNB_INT8: (
        QuantScheme.INT8,
        QuantScheme.INT8_WEIGHT_ONLY,
        QuantScheme.FP8,
        QuantScheme.INT4,
    ),
}
"""The schemes that stand in for a scheme, the nearest in quality and size first."""


def refusal(scheme: QuantScheme, place: Placement) -> Refusal | None:
    """The refusal of a scheme; None where it runs."""
    reason = _fault(scheme, place)
    if reason is None:
        return None
    works = (other for other in NEAREST[scheme] if _fault(other, place) is None)
    return Refusal(scheme=scheme, place=place, reason=reason, instead=next(works, QuantScheme.NONE))


def _fault(scheme: QuantScheme, place: Placement) -> str | None:
    if scheme is QuantScheme.NONE:
        return None
    if scheme in BITSANDBYTES:
        return _bitsandbytes_fault(scheme, place)
    if place.engine == "transformers":
        return _FP8_TRANSFORMERS if scheme is QuantScheme.FP8 else None
    if place.capability is None:
        if scheme is QuantScheme.INT4 and not place.has_avx512:
            return "vLLM's CPU build has a kernel for 4-bit weights with AVX-512 only"
        return _ON_VLLM_CPU.get(scheme)
    if place.capability < LOWEST:
        return "vLLM has kernels for quantised weights from 7.5 on"
    if scheme is QuantScheme.INT8_W8A8 and place.capability >= BLACKWELL:
        return "vLLM's W8A8 kernel ends the engine at its start from 10.0 on (vllm#54311)"
    return None


def _bitsandbytes_fault(scheme: QuantScheme, place: Placement) -> str | None:
    if place.engine == "transformers" and scheme is QuantScheme.BNB_INT8:
        return None  # the same integers as int8-w8a8's: our own layer multiplies them
    if not place.has_bitsandbytes:
        return "the package bitsandbytes is not installed"
    if place.engine == "transformers":
        return None
    if not place.has_vllm_plugin:
        return "vLLM knows bitsandbytes through vllm-bnb-plugin only, which is not installed"
    if place.capability is not None and place.capability < LOWEST:
        return "vLLM has kernels for quantised weights from 7.5 on"
    return None


_FP8_TRANSFORMERS = "it has no arithmetic for 8-bit floats"
_ON_VLLM_CPU: Mapping[QuantScheme, str] = {
    QuantScheme.FP8: "vLLM loads it on a CPU and is unusably slow",
}
