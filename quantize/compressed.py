"""``quantization_config`` in the words of compressed-tensors 0.17 (its `quantization/quant_args.py`
and `config/format.py` say what may stand in it), as vLLM 0.32 reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

VERSION = "0.17.0"
"""Of the format that is written."""


def document(
    *,
    layout: str,
    num_bits: int,
    kind: str,
    group_size: int | None,
    ignore: Sequence[str],
    has_activations: bool = False,
) -> dict[str, Any]:
    """The whole table.

    Args:
        layout: ``int-quantized``, ``pack-quantized`` or ``float-quantized``.
        num_bits: of a weight.
        kind: ``int`` or ``float``.
        group_size: columns that share a scale; None for a whole row.
        ignore: modules that are not quantised.
        has_activations: quantise them too, with a scale for each token found as it comes.
    """
    strategy = "channel" if group_size is None else "group"
    activations = _numbers(num_bits, kind, "token", None, is_dynamic=True)
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": _numbers(num_bits, kind, strategy, group_size, is_dynamic=False),
                "input_activations": activations if has_activations else None,
                "output_activations": None,
                "format": layout,
            }
        },
        "ignore": list(ignore),
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
        "version": VERSION,
    }


def _numbers(
    num_bits: int, kind: str, strategy: str, group_size: int | None, *, is_dynamic: bool
) -> dict[str, Any]:
    return {
        "num_bits": num_bits,
        "type": kind,
        "symmetric": True,
        "strategy": strategy,
        "group_size": group_size,
        "block_structure": None,
        "dynamic": is_dynamic,
        "actorder": None,
        "observer": None if is_dynamic else "minmax",
        "observer_kwargs": {},
    }
