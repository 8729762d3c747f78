"""The model that a config.json describes, against the tensors that are stored: names and shapes.

transformers builds it without memory for its weights, so all families that it knows are compared,
and no weight is read: a model of 70 GB is refused in a second. transformers itself would load a
checkpoint that does not fit, fill what is missing with random numbers, pass over what has no place,
and print a table.

The engines and `python -m quantize` ask here, so that they refuse the same folders in the same
words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from models import weight_headers
from models.errors import ModelRefusedError
from models.tensor_names import HEADS, weight_of
from models.weight_headers import Tensors
from quantize import transformers_config
from quantize.meta_parameters import no_parameter_memory

_PARTS = frozenset({"weight", "bias"})
_MAX_RANK = 3
"""Dimensions of a layer's parameter; buffers of masks have more."""
_FURTHER_LAYERS = "num_nextn_predict_layers"
_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")


def empty(
    folder: Path, config: PretrainedConfig, dtype: torch.dtype | None = None
) -> PreTrainedModel:
    """The model without its weights.

    Raises:
        ModelRefusedError: transformers cannot build it.
    """
    try:
        with no_parameter_memory():
            model: PreTrainedModel = AutoModelForCausalLM.from_config(
                config, dtype=dtype or torch.float32, attn_implementation="eager"
            )
    except Exception as error:  # whatever odd values make a model's own code raise
        raise ModelRefusedError(
            f"{folder.name}: transformers cannot build the model that its config.json describes "
            f"({str(error).splitlines()[0][:200]}). Correct config.json, or fetch the model anew."
        ) from error
    return model


def is_known(config: PretrainedConfig) -> bool:
    """Whether transformers has a causal language model for it."""
    return AutoModelForCausalLM._model_mapping.get(type(config), None) is not None  # noqa: SLF001


def check(folder: Path, model: PreTrainedModel, tensors: Tensors) -> list[str]:
    """Compare the model's parameters with the stored tensors.

    Args:
        folder: for messages.
        model: of ``empty``.
        tensors: all that are stored, none of them quantised.

    Returns:
        Names of stored tensors that have no place in it and are no part of its layers.

    Raises:
        ModelRefusedError: a weight is missing, of another shape, or belongs to a layer of the model
            that has no such weight.
    """
    placed, left, has_joined = _placed(model, tensors)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, stored in sorted(placed.items()):
        described = parameters.get(name)
        shape = tensors[stored].entry.shape
        if described is not None and shape != tuple(described.shape):
            raise ModelRefusedError(mismatch(folder, stored, shape, described.shape))
    # Which parameters joined tensors become is known once they are loaded.
    absent = [] if has_joined else _missing(model, parameters, placed)
    if absent:
        raise ModelRefusedError(missing(folder, absent))
    left = without_known(model, left)
    for name in left:
        entry = tensors[name].entry
        if entry.dtype not in weight_headers.FLOATS or not 1 <= len(entry.shape) <= _MAX_RANK:
            continue
        is_part = is_within(model, name) and _is_weight(model, name)
        if is_part and not (name.endswith(".bias") and tensors[name].is_zero()):
            raise ModelRefusedError(_homeless(folder, model, name))
    return left


def check_folder(folder: Path, config: Mapping[str, Any], tensors: Tensors) -> None:
    """The same from a settled config.json. A family that transformers does not know is let pass.

    Raises:
        ModelRefusedError: as ``check``, ``empty`` and ``transformers_config.read`` do.
    """
    if transformers_config.is_foreign(config):
        return
    described = transformers_config.read(folder, config)
    if is_known(described):
        check(folder, empty(folder, described), tensors)


def mismatch(folder: Path, name: str, stored: Iterable[int], described: Iterable[int]) -> str:
    """The words for a weight of another shape than config.json describes."""
    return (
        f"{folder.name}: {name} is stored as {list(stored)}, and config.json describes "
        f"{list(described)}. Correct config.json, or fetch the model anew."
    )


def missing(folder: Path, names: list[str]) -> str:
    """The words for weights that are not stored."""
    is_head = weight_of(HEADS, names[:1]) is not None
    hint = (
        " (config.json does not tie the output head to the embedding: tie_word_embeddings)"
        if is_head and len(names) == 1
        else ""
    )
    return (
        f"{folder.name}: {len(names)} weights are missing that config.json describes, among "
        f"them {names[0]}{hint}. Correct config.json, or fetch the model anew."
    )


def without_known(model: PreTrainedModel, names: Iterable[str]) -> list[str]:
    """The names in order, less those that transformers knows to be left-overs for this model."""
    ignored = model._keys_to_ignore_on_load_unexpected or ()  # noqa: SLF001
    patterns = {*ignored, r"rotary_emb\.inv_freq"}
    known = re.compile("|".join(sorted(patterns)))
    return sorted(name for name in names if not known.search(name))


def is_within(model: PreTrainedModel, name: str) -> bool:
    """Whether a tensor of this name lies in the model's layers, or would be a layer more.

    The nearest module that the model has on the way to it is a layer, or a row of layers, and not
    the model as a whole, beside which there may be a vision tower or a reward's head.
    """
    text = model.config.get_text_config()
    layer = _LAYER.search(name)
    num_layers, further = text.num_hidden_layers, getattr(text, _FURTHER_LAYERS, None) or 0
    if layer is not None and num_layers <= int(layer[1]) < num_layers + further:
        return False  # of training alone: it predicts the token after the next
    return not isinstance(_nearest(model, name)[0], PreTrainedModel)


def _is_weight(model: PreTrainedModel, name: str) -> bool:
    """Whether it would be computed with: a weight or a bias, and no buffer of an older release."""
    module, is_own = _nearest(model, name)
    is_buffer = is_own and getattr(module, "weight", None) is None
    return name.rpartition(".")[2] in _PARTS and not is_buffer


def _nearest(model: PreTrainedModel, name: str) -> tuple[nn.Module, bool]:
    """The nearest module on the way to a tensor of this name, and whether it is the tensor's."""
    module: nn.Module = model
    for part in name.split(".")[:-1]:
        inner = dict(module.named_children()).get(part)
        if inner is None:
            return module, False
        module = inner
    return module, True


def _homeless(folder: Path, model: PreTrainedModel, name: str) -> str:
    kind, num_layers = model.config.model_type, model.config.get_text_config().num_hidden_layers
    return (
        f"{folder.name}: {name} is stored, and the model that config.json describes (model_type "
        f"{kind}, num_hidden_layers {num_layers}) has no such weight there, so another model than "
        "the trained one would answer. Correct config.json (attention_bias, mlp_bias and the "
        "like), or fetch the model anew."
    )


class Names:
    """Stored names as transformers changes them when it loads, to those of the model's modules.

    Families were built anew between releases, and a base model is saved without its prefix.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        changes = get_model_conversion_mapping(model)
        self._renamings = [change for change in changes if isinstance(change, WeightRenaming)]
        self._converters = [change for change in changes if isinstance(change, WeightConverter)]
        self._prefix = model.base_model_prefix
        self._places: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=False))
        self._places |= dict(model.named_buffers(remove_duplicate=False))

    def of_tensor(self, stored: str) -> str | None:
        """The parameter that a stored tensor is; None for one that is joined with others.

        A name without a place in the model is one that the model does not have.
        """
        name, joined = self._renamed(stored)
        if name not in self._places and stored in self._places:
            return stored
        return name if joined is None else None

    def of_part(self, stored: str) -> str:
        """The same of a part of a quantised matrix, such as ``q_proj.weight_packed``."""
        owner, part = stored, ""
        while owner:
            owner, _, last = owner.rpartition(".")
            part = f".{last}{part}"
            name, joined = self._renamed(f"{owner}.weight")
            if joined is None and name in self._places:
                return name.removesuffix(".weight") + part
        return self.of_tensor(stored) or stored

    def of_module(self, stored: str) -> str:
        """The same of a module."""
        return self.of_part(f"{stored}.weight").removesuffix(".weight")

    def has(self, name: str) -> bool:
        """Whether the model has a parameter or a buffer of this name."""
        return name in self._places

    def _renamed(self, stored: str) -> tuple[str, str | None]:
        changed: tuple[str, str | None] = rename_source_key(
            stored, self._renamings, self._converters, self._prefix, self._places
        )
        return changed


def _placed(model: PreTrainedModel, tensors: Tensors) -> tuple[Mapping[str, str], list[str], bool]:
    """Stored names by the parameter's, those without a place, and whether some are joined."""
    names = Names(model)
    placed: dict[str, str] = {}
    left: list[str] = []
    has_joined = False
    for stored in tensors:
        name = names.of_tensor(stored)
        if name is None:
            has_joined = True
        elif names.has(name):
            placed[name] = stored
        else:
            left.append(stored)
    return placed, left, has_joined


def _missing(
    model: PreTrainedModel, parameters: Iterable[str], placed: Mapping[str, str]
) -> list[str]:
    tied = model.all_tied_weights_keys
    names = [
        name
        for name in parameters
        if name not in placed and not (name in tied and tied[name] in placed)
    ]
    for pattern in model._keys_to_ignore_on_load_missing or ():  # noqa: SLF001
        names = [name for name in names if not re.search(pattern, name)]
    return sorted(names)
