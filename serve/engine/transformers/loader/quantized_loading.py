"""A quantised checkpoint into a model whose linear layers keep the stored integers.

transformers' own way with these files holds them as bfloat16 from the first forward on, whatever
its arguments are, and says nothing. Here the model is built from its configuration, with no memory
for the parameters; quantised linears become ``QuantizedLinear``, a quantised embedding becomes
``PackedEmbedding``, and everything else is read as it is. One tensor is read at a time, so the peak
is the model and its largest layer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from models.errors import ModelRefusedError
from quantize import described_model
from serve.engine.protocol import Progress
from serve.engine.transformers.layers import fused_linear
from serve.engine.transformers.layers.packed_linear import PackedEmbedding
from serve.engine.transformers.layers.quantized_linear import QuantizedLinear
from serve.engine.transformers.loader import bnb_loading, compressed_loading
from serve.engine.transformers.loader.stored_scheme import DeclaredScheme
from serve.engine.transformers.loader.stored_tensors import Tensors
from serve.errors import StartupError

log = logging.getLogger(__name__)


def load(
    tensors: Tensors,
    config: PretrainedConfig,
    declared: DeclaredScheme,
    *,
    dtype: torch.dtype,
    device: torch.device,
    progress: Progress,
    total_bytes: int,
) -> tuple[PreTrainedModel, DeclaredScheme]:
    """The model in evaluation mode on its device, and the scheme by its layers' names.

    Reports ``load_weights`` in bytes.

    Raises:
        StartupError: the weights do not fit config.json.
    """
    model = _empty_model(tensors.folder, config, dtype)
    in_model = described_model.Names(model)
    tensors.rename(in_model.of_part)
    declared = declared.renamed(in_model.of_module)
    mark = bnb_loading.MARKS.get(declared.scheme, compressed_loading.MARK)
    stored = [name for name, _ in model.named_modules() if f"{name}.{mark}" in tensors]
    tables = [name for name in stored if isinstance(model.get_submodule(name), nn.Embedding)]
    linears = [name for name in stored if name not in tables]
    used: set[str] = set()
    for name in tables:
        compressed_loading.install_embedding(
            model, name, tensors, declared, dtype=dtype, device=device
        )
        used.update(f"{name}.{part}" for part in compressed_loading.PARTS)
        progress("load_weights", tensors.done_bytes, total_bytes)
    for names in fused_linear.groups(linears):
        used |= _install_linears(model, names, tensors, declared, dtype=dtype, device=device)
        progress("load_weights", tensors.done_bytes, total_bytes)
    for name in tables:
        _share_with_heads(model, name)
    used |= _fill(model, tensors, dtype=dtype, device=device)
    _refuse_unread(model, tensors, described_model.without_known(model, tensors.names() - used))
    progress("load_weights", total_bytes, total_bytes)
    return model.to(device).eval().requires_grad_(False), declared


def _empty_model(folder: Path, config: PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The model without its weights, and without its quantisation, which is not transformers'."""
    plain = type(config).from_dict(
        {key: value for key, value in config.to_dict().items() if key != "quantization_config"}
    )
    try:
        return described_model.empty(folder, plain, dtype)
    except ModelRefusedError as refusal:
        raise StartupError(str(refusal)) from None


def _refuse_unread(model: PreTrainedModel, tensors: Tensors, names: Sequence[str]) -> None:
    """Refuse what belongs to a layer and was not read; tell of all else (a vision tower)."""
    parts = [name for name in names if described_model.is_within(model, name)]
    if parts:
        raise StartupError(
            f"{tensors.folder.name}: {len(parts)} weights have no place in the model that "
            f"config.json describes, among them {parts[0]}."
        )
    if names:
        log.warning(
            "stored tensors have no place in the model that config.json describes",
            extra={"model": tensors.folder.name, "count": len(names), "first": names[0]},
        )


def _install_linears(
    model: PreTrainedModel,
    names: Sequence[str],
    tensors: Tensors,
    declared: DeclaredScheme,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> set[str]:
    """Put a quantised linear layer, or siblings, in their places; returns the names read."""
    for name in names:
        _refuse_other_layers(name, model.get_submodule(name), tensors)
    bnb_parts = bnb_loading.PARTS.get(declared.scheme)
    install = bnb_loading.install if bnb_parts else compressed_loading.install
    install(model, names, tensors, declared, dtype=dtype, device=device)
    parts = (*(bnb_parts or compressed_loading.PARTS), "bias")
    return {f"{name}.{part}" for name in names for part in parts}


def _share_with_heads(model: PreTrainedModel, table: str) -> None:
    head, embedding = model.get_output_embeddings(), model.get_submodule(table)
    for name, module in list(model.named_modules()):
        if module is head and isinstance(embedding, PackedEmbedding):
            compressed_loading.share_head(model, name, table)


def _refuse_other_layers(name: str, module: nn.Module, tensors: Tensors) -> None:
    if type(module) is not nn.Linear:
        raise StartupError(
            f"{tensors.folder.name}: {name} is stored quantised, and is a "
            f"{type(module).__name__}, which this engine cannot run so."
        )


def _fill(
    model: PreTrainedModel, tensors: Tensors, *, dtype: torch.dtype, device: torch.device
) -> set[str]:
    """Give the parameters that are left their numbers; returns the names read."""
    read: set[str] = set()
    tied = not isinstance(model.get_output_embeddings(), QuantizedLinear) and getattr(
        model.config.get_text_config(), "tie_word_embeddings", False
    )
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        if parameter.device.type != "meta":  # a quantised layer's bias
            continue
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        if tied and name not in tensors and module is model.get_output_embeddings():
            continue
        stored = tensors.read(name)
        if stored.shape != parameter.shape:
            raise StartupError(
                f"{tensors.folder.name}: {name} is {list(stored.shape)}, not "
                f"{list(parameter.shape)} as config.json says. Correct config.json, or make the "
                "model anew: python -m quantize."
            )
        copy = torch.empty(stored.shape, dtype=dtype, device=device).copy_(stored)
        module.register_parameter(leaf, nn.Parameter(copy, requires_grad=False))
        read.add(name)
    if tied:
        output = model.get_output_embeddings()
        if isinstance(model.get_input_embeddings(), PackedEmbedding):
            raise StartupError(
                f"{tensors.folder.name}: its embedding is stored quantised and its output head is "
                "not stored: config.json ties them. Make it anew: python -m quantize."
            )
        output.weight = model.get_input_embeddings().weight
        read.add("lm_head.weight")
    return read
