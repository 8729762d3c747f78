"""Loads a Hugging Face causal LM from a folder, or says why not.

Safetensors only, local files only, no code from the folder. What the folder's config.json already
tells is refused before a weight is read; what only the running model tells is refused by
``warm_up.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from models.errors import ModelRefusedError
from models.memory.context import context_length
from models.stored_config import stated_dtype
from quantize import described_model, transformers_config
from serve.engine import model_files
from serve.engine.model_files import Checkpoint, WeightFiles, read_json
from serve.engine.protocol import Progress
from serve.engine.settings import EngineSettings
from serve.engine.transformers.loader import (
    placing,
    quantized_loading,
    stored_scheme,
    weight_memory,
)
from serve.engine.transformers.loader.stored_scheme import DeclaredScheme
from serve.engine.transformers.loader.stored_tensors import Tensors
from serve.errors import StartupError

log = logging.getLogger(__name__)

_ATTENTION_KINDS = {"full_attention", "sliding_attention"}
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def read_checkpoint(folder: Path) -> Checkpoint:
    """The folder as it is before a weight is read.

    Raises:
        StartupError: no folder, no or unreadable config.json, damaged weights, or a kind of
            quantisation that this engine does not run.
    """
    plain = read_json(folder / "config.json")
    if plain is not None:
        if "auto_map" in plain:
            reason = "it brings its own Python code (auto_map), which is never run here"
            raise _refusal(folder, reason)
        stored_scheme.declared_scheme(folder, plain)
    return model_files.read(folder, plain)


def read_config(checkpoint: Checkpoint) -> PretrainedConfig:
    """The model's configuration, with type and tie of the head as the stored tensors have them.

    Raises:
        StartupError: a kind of model that this engine does not run.
    """
    try:
        config = transformers_config.read(checkpoint.folder, checkpoint.config)
    except ModelRefusedError as refusal:
        raise StartupError(str(refusal)) from None
    _refuse_unsupported(checkpoint.folder, config)
    _take_what_is_stored(config, checkpoint.config)
    return config


def _take_what_is_stored(config: PretrainedConfig, settled: Mapping[str, Any]) -> None:
    """Set type and tie in every part: a part that does not state them has its family's own."""
    dtype = stated_dtype(settled)
    is_untied = settled.get("tie_word_embeddings") is False
    for part in {id(part): part for part in (config, config.get_text_config())}.values():
        if dtype is not None:
            part.dtype = _DTYPES[dtype]
        if is_untied:
            part.tie_word_embeddings = False


def read_declared_scheme(checkpoint: Checkpoint) -> DeclaredScheme | None:
    """The scheme that config.json declares; None for a model that is not quantised.

    Raises:
        StartupError: this engine does not run it.
    """
    return stored_scheme.declared_scheme(checkpoint.folder, checkpoint.config)


def model_max_len(config: PretrainedConfig) -> int:
    """Most positions the model itself can take in one context (models/memory/context.py)."""
    return context_length(config.get_text_config().to_dict()) or 4096


def pick_device(device: str) -> torch.device:
    """Raises StartupError when a GPU is asked for and there is none."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise StartupError("--device cuda: no GPU that torch can use. Take --device cpu or auto.")
    return torch.device(device)


def pick_dtype(dtype: str, config: PretrainedConfig) -> torch.dtype:
    """The type asked for, or the checkpoint's; float32 where neither says."""
    if dtype != "auto":
        return _DTYPES[dtype]
    stored = config.get_text_config().dtype or getattr(config, "dtype", None)
    return _DTYPES.get(str(stored).removeprefix("torch."), torch.float32)


def load_model(
    checkpoint: Checkpoint,
    config: PretrainedConfig,
    *,
    settings: EngineSettings,
    device: torch.device,
    progress: Progress,
) -> tuple[PreTrainedModel, DeclaredScheme | None]:
    """The model in evaluation mode on its device, and the scheme that its layers are to have.

    Raises:
        StartupError: not enough memory, or weights that do not fit the config.
    """
    files = checkpoint.files
    dtype = pick_dtype(settings.dtype, config)
    declared = read_declared_scheme(checkpoint)
    if declared is None:
        _refuse_misfit(checkpoint, config)
    weight_memory.refuse(checkpoint, settings, dtype=dtype, device=device)
    progress("load_weights", 0, files.total_bytes)
    if declared is not None:
        return quantized_loading.load(
            Tensors(checkpoint.folder, files.names),
            config,
            declared,
            dtype=dtype,
            device=device,
            progress=progress,
            total_bytes=files.total_bytes,
        )
    with placing.placed_on(device):
        model = _plain_model(checkpoint, config, dtype=dtype, progress=progress)
    model = model.to(device).eval().requires_grad_(False)
    progress("load_weights", files.total_bytes, files.total_bytes)
    return model, None


def _refuse_misfit(checkpoint: Checkpoint, config: PretrainedConfig) -> None:
    """Compare what is stored with the model that config.json describes, and tell what is left.

    Raises:
        StartupError: another model than the trained one would answer.
    """
    folder = checkpoint.folder
    try:
        described = described_model.empty(folder, config)
        left = described_model.check(folder, described, checkpoint.tensors)
    except ModelRefusedError as refusal:
        raise StartupError(str(refusal)) from None
    if left:
        log.warning(
            "stored tensors have no place in the model that config.json describes",
            extra={"model": folder.name, "count": len(left), "first": left[0]},
        )


def _plain_model(
    checkpoint: Checkpoint, config: PretrainedConfig, *, dtype: torch.dtype, progress: Progress
) -> PreTrainedModel:
    """A model that is not quantised, by transformers' own way.

    Raises:
        StartupError: a weight is missing, of another shape, or cannot be read.
    """
    folder = checkpoint.folder
    previous = transformers_logging.set_tqdm_hook(_reporting(checkpoint.files, progress))
    try:
        model: PreTrainedModel
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation="eager",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
    except Exception as error:
        raise StartupError(f"{folder.name}: the weights cannot be loaded: {error}") from error
    finally:
        transformers_logging.set_tqdm_hook(previous)
    # What joins several tensors into one is seen here alone.
    for name, stored, described in sorted(report["mismatched_keys"])[:1]:
        raise StartupError(described_model.mismatch(folder, name, stored, described))
    missing = sorted(map(str, report["missing_keys"]))
    if missing:  # transformers would run on with random numbers there
        raise StartupError(described_model.missing(folder, missing))
    return model


def _reporting(files: WeightFiles, progress: Progress) -> Callable[..., object]:
    """A tqdm hook that reports bytes as transformers goes through the tensors."""

    def hook(
        factory: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> object:
        if not args or kwargs.get("desc") != "Loading weights":
            return factory(*args, **kwargs)
        return _counted(args[0], files, progress)

    return hook


def _counted(
    items: Iterable[tuple[str, Any]], files: WeightFiles, progress: Progress
) -> Iterator[tuple[str, Any]]:
    done, total = 0, files.total_bytes
    for name, mapping in items:
        yield name, mapping
        done += files.tensors[name].num_bytes if name in files.tensors else 0
        progress("load_weights", done, total)


def _refuse_unsupported(folder: Path, config: PretrainedConfig) -> None:
    text = config.get_text_config()
    if getattr(config, "is_encoder_decoder", False):
        raise _refusal(folder, "it is an encoder-decoder model")
    kinds = set(getattr(text, "layer_types", None) or ()) - _ATTENTION_KINDS
    if kinds:
        raise _refusal(folder, f"it has layers of another kind ({', '.join(sorted(kinds))})")
    if "sliding_attention" in (getattr(text, "layer_types", None) or ()):
        window = getattr(text, "sliding_window", None)
        if not isinstance(window, int) or window < 1:
            raise _refusal(folder, f"its layers attend to a window of {window!r} tokens")
    if any(rope.get("rope_type") == "dynamic" for rope in _rope_parameters(text)):
        raise _refusal(folder, "its dynamic RoPE would depend on what else is in the batch")
    model_class = AutoModelForCausalLM._model_mapping.get(type(config), None)  # noqa: SLF001
    if model_class is None:
        raise _refusal(folder, f"{config.model_type} is no causal language model")
    if getattr(model_class, "_is_stateful", False):
        raise _refusal(folder, "it keeps a recurrent state instead of keys and values")
    if not getattr(model_class, "_supports_attention_backend", False):
        raise _refusal(folder, "its attention cannot be replaced")


def _rope_parameters(config: PretrainedConfig) -> Iterator[Mapping[str, Any]]:
    """RoPE parameters; some models have one set per kind of layer."""
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in parameters.values() if isinstance(value, Mapping)]
    yield from nested or [parameters]


def _refusal(folder: Path, reason: str) -> StartupError:
    return StartupError(f"The transformers engine cannot run {folder.name}: {reason}.")
