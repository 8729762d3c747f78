"""Whether this machine and an engine run a scheme.

The facts for the table in quantize/plan/scheme_support.py.
"""

from __future__ import annotations

import importlib.util

import torch

from models.refs import QuantScheme
from quantize.plan.scheme_support import EngineName, Placement, Refusal, refusal

_PLUGIN = "vllm_bnb_plugin"


def place(engine: EngineName, device: str) -> Placement:
    """Where a model would run.

    Args:
        engine: which one.
        device: as ``--device`` says; ``auto`` is a GPU where there is one.
    """
    has_gpu = device != "cpu" and torch.cuda.is_available()
    return Placement(
        engine=engine,
        capability=torch.cuda.get_device_capability() if has_gpu else None,
        has_avx512="AVX512" in torch.backends.cpu.get_cpu_capability(),
        has_bitsandbytes=importlib.util.find_spec("bitsandbytes") is not None,
        has_vllm_plugin=importlib.util.find_spec(_PLUGIN) is not None,
    )


def refused(scheme: QuantScheme, engine: str, device: str) -> Refusal | None:
    """Why the engine does not run the scheme on this machine; None where it does."""
    if engine == "vllm":
        return refusal(scheme, place("vllm", device))
    return refusal(scheme, place("transformers", device)) if engine == "transformers" else None
