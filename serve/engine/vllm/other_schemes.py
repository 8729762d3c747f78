"""Details of other tools' weights that vLLM refuses in its processes. No vLLM in here.

Which method runs on which device is quantize/plan/scheme_support.py's table; here stands what
depends on the numbers in config.json. It is taken from the sources of vLLM 0.32: its AWQ and GPTQ
configurations, and the groups that its Marlin kernels take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.refs import OtherScheme, Scheme

GROUPS = (-1, 32, 64, 128)
"""Inputs that share a scale in GPTQ's weights; -1 is a whole row."""


def fault(scheme: Scheme | None, table: Mapping[str, Any], device: str) -> str | None:
    """The reason why vLLM would end its start; None where nothing is known against it.

    Args:
        scheme: of the checkpoint.
        table: config.json's ``quantization_config``.
        device: ``cpu`` or ``cuda``.
    """
    if scheme is OtherScheme.AWQ:
        return _awq_fault(table, device)
    return _gptq_fault(table, device) if scheme is OtherScheme.GPTQ else None


def arguments(scheme: Scheme | None) -> dict[str, Any]:
    """Engine arguments without which vLLM refuses a scheme that it still runs."""
    return {"allow_deprecated_quantization": True} if scheme is OtherScheme.FBGEMM_FP8 else {}


def _awq_fault(table: Mapping[str, Any], device: str) -> str | None:
    bits = table.get("bits", table.get("w_bit"))
    if bits != 4:
        return f"its AWQ weights have {bits} bits, and vLLM reads 4"
    if device == "cpu" and not table.get("zero_point"):
        return "its AWQ weights have no zero points, which on a CPU they need"
    return None


def _gptq_fault(table: Mapping[str, Any], device: str) -> str | None:
    bits, group = table.get("bits"), table.get("group_size")
    allowed = (4,) if device == "cpu" else (4, 8)
    if bits not in allowed:
        words = " or ".join(map(str, allowed))
        return f"its GPTQ weights have {bits} bits, and vLLM reads {words} on a {device.upper()}"
    if not table.get("sym"):
        return "its GPTQ weights have zero points (sym: false), which vLLM does not read"
    if group not in GROUPS:
        sizes = ", ".join(map(str, GROUPS))
        return f"its GPTQ weights have groups of {group}, and vLLM reads {sizes}"
    if table.get("desc_act") and group != -1:
        return "its columns are in another order (desc_act), which vLLM reads no longer"
    return None
