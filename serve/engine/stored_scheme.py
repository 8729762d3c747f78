"""Which quantised checkpoints the transformers engine runs, and what their config.json promises.

Pure: config.json only. ``quantized_loading.py`` reads the weights, ``served_dtypes.py`` checks what
became of the promise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import ModelNotFoundError, UnknownSchemeError
from models.folder import scheme_of
from models.refs import QuantScheme
from quantize.where import BITSANDBYTES
from serve.errors import StartupError

WORDS = {
    QuantScheme.INT8: "int8 (W8A8)",
    QuantScheme.INT8_WEIGHT_ONLY: "int8 (W8A16)",
    QuantScheme.INT4: "int4 (W4A16)",
    QuantScheme.NF4: "nf4 (W4A16)",
    QuantScheme.BNB_INT8: "int8 (W8A8)",
}
"""What a layer of the scheme says that it computes; see ``QuantizedLinear.scheme``."""
RUNS = tuple(WORDS)
_SAME_ORDER = (None, False, "static", "weight")
"""Orders in which GPTQ may have gone through the columns and still stores them as they were."""
_NO_FP8 = "it has no product of 8-bit floats. Take --quant int8, or vLLM on a GPU"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What config.json says of the linear layers.

    Attributes:
        scheme: one of ``RUNS``.
        ignore: names, or ``re:`` and a regular expression, of layers that keep their type.
    """

    scheme: QuantScheme
    ignore: Sequence[str] = ()

    def covers(self, layer: str) -> bool:
        """Whether a linear layer of this name is to be quantised."""
        return not any(_matches(layer, pattern) for pattern in self.ignore)


def promise_of(folder: Path, config: Mapping[str, Any]) -> Promise | None:
    """The promise; None for a model that is not quantised.

    Args:
        folder: of the model.
        config: its config.json.

    Raises:
        StartupError: this engine does not run it; with the nearest choice that works.
    """
    table = config.get("quantization_config")
    if table is None:
        return None
    try:
        scheme = scheme_of(folder)
    except (UnknownSchemeError, ModelNotFoundError):
        method = table.get("quant_method") if isinstance(table, Mapping) else None
        raise _refusal(
            folder,
            f"its weights are quantised with {method or 'an unnamed method'}, in a way that it "
            f"does not know. It runs {', '.join(RUNS)}",
        ) from None
    if scheme not in RUNS:
        raise _refusal(folder, f"its weights are {scheme} and {_NO_FP8}")
    if scheme in BITSANDBYTES:
        faults = [_bitsandbytes_fault(table)]
        ignore = [_skipped(name) for name in table.get("llm_int8_skip_modules") or ("lm_head",)]
    else:
        faults = [_fault(group, scheme) for group in table["config_groups"].values()]
        ignore = list(table.get("ignore") or ())
    for fault in faults:
        if fault is not None:
            raise _refusal(folder, f"{fault}. Make it anew: python -m quantize --scheme {scheme}")
    return Promise(scheme=scheme, ignore=tuple(ignore))


def _bitsandbytes_fault(table: Mapping[str, Any]) -> str | None:
    """What about a bitsandbytes checkpoint our arithmetic would get wrong."""
    if table.get("load_in_4bit"):
        if table.get("bnb_4bit_use_double_quant"):
            return "its scales are quantised too (bnb_4bit_use_double_quant)"
        return None
    if table.get("llm_int8_threshold", 6.0) != 0:  # what bitsandbytes takes where none is given
        return (
            "columns with outliers would be computed in 16 bits (llm_int8_threshold), and which "
            "those are depends on what else is in the batch"
        )
    return None


def _skipped(name: str) -> str:
    """A module of this name stays as it is, wherever it is, and all within it."""
    return rf"re:(.*\.)?{re.escape(name)}(\..*)?$"


def _fault(group: Mapping[str, Any], scheme: QuantScheme) -> str | None:
    """What about a group of layers our arithmetic would get wrong; None where it is right."""
    weights, inputs = group["weights"], group.get("input_activations")
    if group.get("targets") not in (["Linear"], ["Linear", "lm_head"]):
        return f"it quantises {group.get('targets')}, not all linear layers"
    if not weights.get("symmetric", True) or weights.get("actorder") not in _SAME_ORDER:
        return "its weights have zero points or another order of columns"
    known = ("channel", "group") if scheme is QuantScheme.INT4 else ("channel",)
    if weights.get("strategy") not in known:
        return f"it has a scale for each {weights.get('strategy')}, not for each {known[0]}"
    if scheme is QuantScheme.INT8:
        is_right = (
            inputs is not None
            and inputs.get("num_bits") == 8
            and inputs.get("type") == "int"
            and inputs.get("dynamic") is True
            and inputs.get("strategy") == "token"
            and inputs.get("symmetric", True)
        )
        return None if is_right else "its activations are not quantised for each token as it comes"
    return "it quantises activations too" if inputs else None


def _matches(layer: str, pattern: str) -> bool:
    if pattern.startswith("re:"):
        return re.match(pattern[3:], layer) is not None
    return layer == pattern


def _refusal(folder: Path, reason: str) -> StartupError:
    return StartupError(f"The transformers engine cannot run {folder.name}: {reason}.")
