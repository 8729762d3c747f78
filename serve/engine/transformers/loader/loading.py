"""Loads a Hugging Face causal LM from a folder, or says why not.

Safetensors only, local files only, no code from the folder. What the folder's config.json already
tells is refused before a weight is read; what only the running model tells is refused by
``warm_up.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from models.memory.context import context_length
from models.stored_config import stated_dtype
from quantize.meta_parameters import no_parameter_memory
from serve.engine import end_tokens, model_files
from serve.engine.model_files import WeightFiles, read_json, weight_file_names, weight_files
from serve.engine.protocol import Progress
from serve.engine.settings import EngineSettings
from serve.engine.transformers.loader import (
    placing,
    quantized_loading,
    stored_scheme,
    unplaced,
    weight_memory,
)
from serve.engine.transformers.loader.stored_scheme import DeclaredScheme
from serve.engine.transformers.loader.stored_tensors import Tensors
from serve.errors import StartupError

_ATTENTION_KINDS = {"full_attention", "sliding_attention"}
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def read_config(folder: Path) -> PretrainedConfig:
    """The model's configuration.

    Raises:
        StartupError: no folder, no or unreadable config.json, or a kind of model that this engine
            does not run.
    """
    plain = read_json(folder / "config.json")
    if plain is None:
        raise StartupError(f"{folder.name}: no readable config.json, so this is no model folder.")
    if "auto_map" in plain:
        raise _refusal(folder, "it brings its own Python code (auto_map), which is never run here")
    if not end_tokens.is_well_formed(plain):
        raise _refusal(folder, "eos_token_id in its config.json is no token id and no list of them")
    stored_scheme.declared_scheme(folder, plain)
    config = _transformers_config(folder, plain)
    _refuse_unsupported(folder, config)
    _take_what_is_stored(config, model_files.settled(folder, plain).config)
    return config


def _transformers_config(folder: Path, plain: Mapping[str, Any]) -> PretrainedConfig:
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # whatever an odd config.json makes it raise
        kind = plain.get("model_type", "none given")
        what = f"transformers cannot read its config.json ({kind}{_reason(error)})"
        raise _refusal(folder, what) from error
    if getattr(config, "head_dim", 0) is None:  # as if not given: some families then reckon it
        del config.head_dim
    return config


def _reason(error: Exception) -> str:
    """The words of a check of one key; other errors of transformers may name paths or be pages."""
    if not type(error).__name__.startswith("StrictDataclass"):  # huggingface_hub's, bare Exceptions
        return ""
    return ": " + str(error).splitlines()[-1].strip()[:200]


def _refuse_unbuildable(folder: Path, config: PretrainedConfig) -> None:
    """Tell whether config.json alone is why a model could not be loaded."""
    try:
        with no_parameter_memory():
            AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    except Exception as error:
        raise StartupError(
            f"{folder.name}: transformers cannot build the model that its config.json describes "
            f"({type(error).__name__}: {str(error)[:200]}). Correct config.json, or fetch the "
            "model anew."
        ) from error


def _take_what_is_stored(config: PretrainedConfig, settled: Mapping[str, Any]) -> None:
    """Set the type of the numbers and the tie of the head as the stored tensors have them."""
    dtype = stated_dtype(settled)
    is_untied = settled.get("tie_word_embeddings") is False
    for part in {id(part): part for part in (config, config.get_text_config())}.values():
        if dtype is not None:
            part.dtype = _DTYPES[dtype]
        if is_untied:
            part.tie_word_embeddings = False


def read_declared_scheme(folder: Path) -> DeclaredScheme | None:
    """The scheme that config.json declares; None for a model that is not quantised.

    Raises:
        StartupError: this engine does not run it.
    """
    return stored_scheme.declared_scheme(folder, read_json(folder / "config.json") or {})


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
    folder: Path,
    config: PretrainedConfig,
    *,
    settings: EngineSettings,
    device: torch.device,
    progress: Progress,
) -> PreTrainedModel:
    """The model in evaluation mode on its device.

    Raises:
        StartupError: no safetensors, not enough memory, or weights that do not fit the config.
    """
    files = weight_files(folder)
    dtype = pick_dtype(settings.dtype, config)
    declared = read_declared_scheme(folder)
    weight_memory.refuse(folder, files, settings, dtype=dtype, device=device)
    progress("load_weights", 0, files.total_bytes)
    tensors = Tensors(folder, weight_file_names(folder))
    if declared is not None:
        return quantized_loading.load(
            tensors,
            config,
            declared,
            dtype=dtype,
            device=device,
            progress=progress,
            total_bytes=files.total_bytes,
        )
    with placing.placed_on(device):
        model = _plain_model(tensors, config, files, dtype=dtype, progress=progress)
    model = model.to(device).eval().requires_grad_(False)
    progress("load_weights", files.total_bytes, files.total_bytes)
    return model


def _plain_model(
    tensors: Tensors,
    config: PretrainedConfig,
    files: WeightFiles,
    *,
    dtype: torch.dtype,
    progress: Progress,
) -> PreTrainedModel:
    """A model that is not quantised, by transformers' own way.

    Raises:
        StartupError: a weight is missing, of another shape, without a place, or cannot be read.
    """
    folder = tensors.folder
    previous = transformers_logging.set_tqdm_hook(_reporting(files, progress))
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
        _refuse_unbuildable(folder, config)
        raise StartupError(f"{folder.name}: the weights cannot be loaded: {error}") from error
    finally:
        transformers_logging.set_tqdm_hook(previous)
    for name, stored, described in sorted(report["mismatched_keys"])[:1]:
        raise StartupError(
            f"{folder.name}: {name} is stored as {list(stored)}, and config.json describes "
            f"{list(described)}. Correct config.json, or fetch the model anew."
        )
    missing = sorted(map(str, report["missing_keys"]))
    if missing:  # transformers would run on with random numbers there
        raise StartupError(
            f"{folder.name}: {len(missing)} weights are missing that config.json describes, among "
            f"them {missing[0]}."
        )
    unplaced.check(model, tensors, map(str, report["unexpected_keys"]))
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
