"""The schemes that config.json can declare and the transformers engine runs.

Pure: it reads config.json only. ``quantized_loading.py`` reads the weights, ``served_dtypes.py``
checks what became of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from models.errors import ModelNotFoundError, UnknownSchemeError
from models.folder import scheme_of
from models.refs import OtherScheme, QuantScheme
from quantize.plan.scheme_support import BITSANDBYTES
from serve.errors import StartupError

STORED_AS = {
    QuantScheme.INT8: "int8",
    QuantScheme.INT8_WEIGHT_ONLY: "int8",
    QuantScheme.INT8_W8A8: "int8",
    QuantScheme.INT4: "int4",
    QuantScheme.NF4: "nf4",
    QuantScheme.BNB_INT8: "int8",
}
"""The type of most layers of a scheme; see ``QuantizedLinear.stored_as``."""
RUNS = tuple(STORED_AS)
BLOCK = 32
"""Inputs that our own loops round together: a scale's group is whole blocks, or a whole row."""
EMBEDDINGS = frozenset({"Embedding", "VocabParallelEmbedding"})
"""Classes of embeddings, by which a group of layers may be named: torch's and vLLM's."""
_SAME_ORDER = (None, False, "static", "weight")
"""Orders in which GPTQ may have gone through the columns and still stores them as they were."""
_NO_FP8 = "it has no product of 8-bit floats. Take --quant int8, or vLLM on a GPU"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The way in which the weights of some layers are stored.

    Attributes:
        bits: of a weight: 8 or 4.
        is_packed: several to a 32-bit word; else a byte each.
        has_zeros: a zero point for each group.
        group_size: inputs that share a scale; None where a whole row does.
    """

    bits: Literal[8, 4]
    is_packed: bool
    has_zeros: bool = False
    group_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredScheme:
    """The quantisation that config.json declares for linear layers and embeddings.

    Attributes:
        scheme: one of ``RUNS``.
        ignore: names, or ``re:`` and a regular expression, of layers that keep their type.
        groups: targets and the form of what they name: layers' names, regular expressions, or
            classes. Empty for bitsandbytes' schemes, where all linear layers are alike.
    """

    scheme: QuantScheme
    ignore: Sequence[str] = ()
    groups: Sequence[tuple[Sequence[str], Form]] = ()

    def renamed(self, to_model: Callable[[str], str]) -> DeclaredScheme:
        """The same by the names that the model has for its layers; patterns stay as they are."""

        def new(name: str) -> str:
            return name if name.startswith("re:") or name in _CLASSES else to_model(name)

        groups = tuple((tuple(map(new, targets)), form) for targets, form in self.groups)
        return replace(self, ignore=tuple(map(new, self.ignore)), groups=groups)

    def covers(self, layer: str) -> bool:
        """Whether a linear layer of this name is to be quantised."""
        if self._ignores(layer):
            return False
        return not self.groups or self.form(layer) is not None

    def covers_embedding(self, layer: str) -> bool:
        """Whether an embedding of this name is to be quantised."""
        return not self._ignores(layer) and self.form(layer, is_embedding=True) is not None

    def _ignores(self, layer: str) -> bool:
        return any(_matches(layer, pattern) for pattern in self.ignore)

    def form(self, layer: str, *, is_embedding: bool = False) -> Form | None:
        """The form of a layer of this name; None where none is declared.

        A name goes before a class, as vLLM has it.
        """
        kinds = EMBEDDINGS if is_embedding else frozenset({"Linear"})
        for targets, form in self.groups:
            if any(_matches(layer, target) for target in targets if target not in _CLASSES):
                return form
        for targets, form in self.groups:
            if kinds & set(targets):
                return form
        return None

    def stored_as(self, layer: str) -> str:
        """The ``stored_as`` that a quantised layer of this name has: ``int8``."""
        form = self.form(layer)
        return STORED_AS[self.scheme] if form is None else f"int{form.bits}"


_CLASSES = EMBEDDINGS | {"Linear"}


def declared_scheme(folder: Path, config: Mapping[str, Any]) -> DeclaredScheme | None:
    """The scheme that config.json declares; None for a model that is not quantised.

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
    if isinstance(scheme, OtherScheme):
        raise _refusal(folder, _other_fault(scheme, table))
    if scheme not in RUNS:
        raise _refusal(folder, f"its weights are {scheme} and {_NO_FP8}")
    is_bnb = scheme in BITSANDBYTES
    fault = None if is_bnb else _compressed_fault(table)
    if fault is not None:
        raise _refusal(folder, f"{fault}. Make it anew: python -m quantize --scheme {scheme}")
    if is_bnb:
        skipped = table.get("llm_int8_skip_modules") or ("lm_head",)
        return DeclaredScheme(scheme=scheme, ignore=tuple(map(_skipped, skipped)))
    layout = table.get("format")
    groups = table["config_groups"].values()
    return DeclaredScheme(
        scheme=scheme,
        ignore=tuple(table.get("ignore") or ()),
        groups=tuple((group["targets"], _form(group, layout)) for group in groups),
    )


def _compressed_fault(table: Mapping[str, Any]) -> str | None:
    """A property of a compressed-tensors checkpoint that is not computed; None where all is."""
    groups = table["config_groups"].values()
    faults = (_fault(group, table.get("format")) for group in groups)
    return next(filter(None, (_names_fault(table.get("ignore") or []), *faults)), None)


def _other_fault(scheme: OtherScheme, table: Mapping[str, Any]) -> str:
    """The reason against another tool's checkpoint, and what to do."""
    if scheme is not OtherScheme.BITSANDBYTES:
        return f"its weights are {scheme}, which vLLM alone reads (--engine vllm)"
    again = "Make it anew: python -m quantize --scheme"
    if not table.get("load_in_4bit"):
        return (
            "columns with outliers would be computed in 16 bits (llm_int8_threshold), and which "
            f"those are depends on what else is in the batch. {again} {QuantScheme.BNB_INT8}"
        )
    if table.get("bnb_4bit_use_double_quant"):
        fault = "its scales are quantised too (bnb_4bit_use_double_quant)"
    else:
        fault = f"its 4 bits are {table.get('bnb_4bit_quant_type', 'fp4')}, not nf4"
    return f"{fault}. {again} {QuantScheme.NF4}"


def _skipped(name: str) -> str:
    """A module of this name stays as it is, wherever it is, and all within it."""
    return rf"re:(.*\.)?{re.escape(name)}(\..*)?$"


def _form(group: Mapping[str, Any], layout: object) -> Form:
    weights = group["weights"]
    return Form(
        bits=weights["num_bits"],
        is_packed=(group.get("format") or layout) == "pack-quantized",
        has_zeros=not weights.get("symmetric", True),
        group_size=weights["group_size"] if weights.get("strategy") == "group" else None,
    )


def _fault(group: Mapping[str, Any], layout: object) -> str | None:
    """A property of a group of layers that is not computed here; None where all is."""
    weights = group["weights"]
    fault = (
        _names_fault(group.get("targets"))
        or _weights_fault(weights)
        or _inputs_fault(weights, group.get("input_activations"))
    )
    if fault is None and weights["num_bits"] == 4 and not _form(group, layout).is_packed:
        return "its 4-bit weights are not packed into words"
    return fault


def _names_fault(names: object) -> str | None:
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        return f"it names layers by {names}, which is no list of names"
    for name in names:
        if name.startswith("re:"):
            try:
                re.compile(name[3:])
            except re.error as error:
                return f"it names layers by {name}, which is no regular expression ({error})"
    return None


def _weights_fault(weights: Mapping[str, Any]) -> str | None:
    bits, size, strategy = (weights.get(key) for key in ("num_bits", "group_size", "strategy"))
    if weights.get("actorder") not in _SAME_ORDER:
        return "its weights have another order of columns"
    if bits == 8 and not weights.get("symmetric", True):
        return "its 8-bit weights have zero points"
    if strategy not in ("channel", "group"):
        return f"it has a scale for each {strategy}, not for each channel or group"
    is_whole = isinstance(size, int) and size >= BLOCK and size % BLOCK == 0
    if strategy == "group" and not is_whole:
        return f"it has groups of {size}, and the loops take multiples of {BLOCK}"
    return None


def _inputs_fault(weights: Mapping[str, Any], inputs: Mapping[str, Any] | None) -> str | None:
    if inputs is None:
        return None
    is_right = (
        weights.get("num_bits") == 8
        and inputs.get("num_bits") == 8
        and inputs.get("type") == "int"
        and inputs.get("dynamic") is True
        and inputs.get("strategy") == "token"
        and inputs.get("symmetric", True)
    )
    return None if is_right else "its activations are not quantised for each token as it comes"


def _matches(layer: str, pattern: str) -> bool:
    if pattern.startswith("re:"):
        return re.match(pattern[3:], layer) is not None
    return layer == pattern


def _refusal(folder: Path, reason: str) -> StartupError:
    return StartupError(f"The transformers engine cannot run {folder.name}: {reason}.")
