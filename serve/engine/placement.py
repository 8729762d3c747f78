"""Facts of this machine for quantize/plan/scheme_support.py: which engine runs a scheme here."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import cast, get_args

import torch

from models.refs import Scheme
from quantize.plan.scheme_support import EngineName, Placement, Refusal, refusal
from serve.engine import gpus

_PLUGIN = "vllm_bnb_plugin"


def place(engine: EngineName, device: str) -> Placement:
    """The place where a model would run, as scheme_support asks for it.

    Args:
        engine: which one.
        device: as ``--device`` says; ``auto`` is a GPU where there is one.
    """
    has_gpu = device != "cpu" and torch.cuda.is_available()
    capability = _capability() if has_gpu else None
    return Placement(
        engine=engine,
        capability=capability,
        has_avx512="AVX512" in torch.backends.cpu.get_cpu_capability(),
        has_bitsandbytes=importlib.util.find_spec("bitsandbytes") is not None,
        has_vllm_plugin=importlib.util.find_spec(_PLUGIN) is not None,
    )


@cache
def _capability() -> tuple[int, int]:
    """Compute capability of the first GPU."""
    seen = gpus.visible()
    return seen[0].capability if seen else torch.cuda.get_device_capability()


def refused(scheme: Scheme, engine: str, device: str) -> Refusal | None:
    """The refusal of a scheme by an engine on this machine; None where it runs it.

    The fake engine, which has no weights, refuses none.
    """
    if engine not in get_args(EngineName):
        return None
    return refusal(scheme, place(cast("EngineName", engine), device))
