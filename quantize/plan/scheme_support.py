"""The table of which scheme runs on which engine and device, and the nearest that does.

Asked before anything is quantised or loaded. Rows for a GPU are from reading vLLM 0.32 and its
issues; nobody has run them here. docs/quantization.md says what was run. On a CPU vLLM multiplies
packed weights by a kernel of ours (serve/engine/vllm/packed_kernel.py): its own takes 4 bits
without zero points only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from models.refs import OtherScheme, QuantScheme, Scheme

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

    scheme: Scheme
    place: Placement
    reason: str
    instead: QuantScheme

    def __str__(self) -> str:
        return f"{self.scheme} does not run on {self.place}: {self.reason}. {self.advice}"

    @property
    def advice(self) -> str:
        if isinstance(self.scheme, OtherScheme):
            return self._advice_on_other(self.scheme)
        if self.instead is QuantScheme.NONE:
            return "Nothing smaller runs there: take the full weights (--quant none)."
        return f"The nearest that does: --quant {self.instead}."

    def _advice_on_other(self, scheme: OtherScheme) -> str:
        """The other engine where it reads them on this device; else full weights, stored by us."""
        if (
            self.place.engine != "vllm"
            and _fault(scheme, replace(self.place, engine="vllm")) is None
        ):
            return "Take --engine vllm."
        return f"Take the model's full weights, and --quant {self.instead}."


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


INSTEAD_OF_OTHER: Mapping[OtherScheme, tuple[QuantScheme, ...]] = {
    **dict.fromkeys(
        (OtherScheme.AWQ, OtherScheme.GPTQ, OtherScheme.MXFP4, OtherScheme.BITSANDBYTES),
        (QuantScheme.INT4, QuantScheme.INT8),
    ),
    **dict.fromkeys(
        (
            *(OtherScheme.FP8_TENSOR, OtherScheme.FP8_BLOCK),
            *(OtherScheme.FBGEMM_FP8, OtherScheme.MODELOPT_FP8),
        ),
        (QuantScheme.INT8, QuantScheme.INT8_WEIGHT_ONLY),
    ),
}
"""The schemes that full weights would be stored in, where another tool's cannot be read."""


def refusal(scheme: Scheme, place: Placement) -> Refusal | None:
    """The refusal of a scheme; None where it runs."""
    reason = _fault(scheme, place)
    if reason is None:
        return None
    near = INSTEAD_OF_OTHER[scheme] if isinstance(scheme, OtherScheme) else NEAREST[scheme]
    works = (other for other in near if _fault(other, place) is None)
    return Refusal(scheme=scheme, place=place, reason=reason, instead=next(works, QuantScheme.NONE))


def _fault(scheme: Scheme, place: Placement) -> str | None:
    if scheme is QuantScheme.NONE:
        return None
    if isinstance(scheme, OtherScheme):
        return _other_fault(scheme, place)
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


def _other_fault(scheme: OtherScheme, place: Placement) -> str | None:
    """The reason against another tool's scheme, by the sources of vLLM 0.32; None where it runs."""
    if place.engine == "transformers":
        return _OTHER_TRANSFORMERS.get(scheme, "vLLM alone reads it")
    if scheme is OtherScheme.BITSANDBYTES:
        return _bitsandbytes_fault(QuantScheme.NF4, place)
    if place.capability is None:
        if scheme in _NEEDS_AVX512 and not place.has_avx512:
            return "vLLM's CPU build has a kernel for 4-bit weights with AVX-512 only"
        return _OTHER_ON_VLLM_CPU.get(scheme)
    since = _OTHER_SINCE[scheme]
    if place.capability < since:
        return f"vLLM reads it from {since[0]}.{since[1]} on"
    return None


_OTHER_TRANSFORMERS: Mapping[OtherScheme, str] = {
    OtherScheme.BITSANDBYTES: (
        "scales that are quantised too, columns of outliers in 16 bits and 4 bits other than nf4 "
        "are not computed here"
    ),
}
_OTHER_SINCE: Mapping[OtherScheme, Capability] = {
    OtherScheme.AWQ: (7, 5),
    OtherScheme.GPTQ: (7, 5),
    OtherScheme.FP8_TENSOR: (7, 5),
    OtherScheme.FP8_BLOCK: (7, 5),
    OtherScheme.FBGEMM_FP8: (8, 0),
    OtherScheme.MODELOPT_FP8: (8, 0),
    OtherScheme.MXFP4: (8, 0),
}
"""Compute capabilities from which on vLLM has a kernel. GPTQ's own is 6.0, and its kernel's 7.5."""
_NEEDS_AVX512 = frozenset({OtherScheme.AWQ, OtherScheme.GPTQ})
_NO_FP8_KERNEL = "vLLM has kernels for it on processors with AMX alone, which nobody has tried"
_OTHER_ON_VLLM_CPU: Mapping[OtherScheme, str] = {
    OtherScheme.FP8_TENSOR: _NO_FP8_KERNEL,
    OtherScheme.FP8_BLOCK: _NO_FP8_KERNEL,
    OtherScheme.FBGEMM_FP8: "vLLM has no kernel for it on a CPU",
    OtherScheme.MODELOPT_FP8: _NO_FP8_KERNEL,
    OtherScheme.MXFP4: "vLLM has no kernel for it on a CPU",
}
"""What was tried is in docs/quantization.md."""


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
