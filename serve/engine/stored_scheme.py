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
from serve.errors import StartupError

RUNS = (QuantScheme.INT8, QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.INT4)
WORDS = {
    QuantScheme.INT8: "int8 (W8A8)",
    QuantScheme.INT8_WEIGHT_ONLY: "int8 (W8A16)",
    QuantScheme.INT4: "int4 (W4A16)",
}
"""What a layer of the scheme says that it computes; see ``QuantizedLinear.scheme``."""
_REASONS = {
    QuantScheme.FP8: "it has no product of 8-bit floats. Take --quant int8, or vLLM on a GPU",
    QuantScheme.NF4: "it has no bitsandbytes kernels. Take --quant int4",
    QuantScheme.BNB_INT8: "it has no bitsandbytes kernels. Take --quant int8",
}


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
            f"does not know. It runs {', '.join(RUNS)} of compressed-tensors",
        ) from None
    if scheme not in RUNS:
        raise _refusal(folder, f"its weights are {scheme} and {_REASONS[scheme]}")
    for group in table["config_groups"].values():
        fault = _fault(group, scheme)
        if fault is not None:
            raise _refusal(folder, f"{fault}. Make it anew: python -m quantize --scheme {scheme}")
    return Promise(scheme=scheme, ignore=tuple(table.get("ignore") or ()))


def _fault(group: Mapping[str, Any], scheme: QuantScheme) -> str | None:
    """What about a group of layers our arithmetic would get wrong; None where it is right."""
    weights, inputs = group["weights"], group.get("input_activations")
    if group.get("targets") not in (["Linear"], ["Linear", "lm_head"]):
        return f"it quantises {group.get('targets')}, not all linear layers"
    if not weights.get("symmetric", True) or weights.get("actorder"):
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
