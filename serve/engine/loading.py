"""Loads a Hugging Face causal LM from a folder, or says why not.

Safetensors only, local files only, no code from the folder. What the folder's config.json already
tells is refused before a weight is read; what only the running model tells is refused by
``warm_up.py``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from models.errors import UnknownShapeError
from models.memory import fit, shapes, sizes
from serve.engine import memory, quantized_loading, stored_scheme
from serve.engine.batching import packed_linear
from serve.engine.protocol import Progress
from serve.engine.settings import EngineSettings
from serve.engine.stored_scheme import Promise
from serve.engine.stored_tensors import Tensors
from serve.errors import StartupError

_ATTENTION_KINDS = {"full_attention", "sliding_attention"}
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """The folder's weights as the headers describe them: bytes by tensor name.

    ``num_parameters`` counts stored numbers: packed ones count once per word.
    """

    tensor_bytes: Mapping[str, int]
    num_parameters: int
    dtypes: frozenset[str]

    @property
    def total_bytes(self) -> int:
        return sum(self.tensor_bytes.values())


def read_config(folder: Path) -> PretrainedConfig:
    """The model's configuration.

    Raises:
        StartupError: no folder, no or unreadable config.json, or a kind of model that this engine
            does not run.
    """
    plain = _read_json(folder / "config.json")
    if plain is None:
        raise StartupError(f"{folder.name}: no readable config.json, so this is no model folder.")
    if "auto_map" in plain:
        raise _refusal(folder, "it brings its own Python code (auto_map), which is never run here")
    stored_scheme.promise_of(folder, plain)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        kind = plain.get("model_type", "none given")
        raise _refusal(folder, f"transformers cannot read its config.json ({kind})") from error
    _refuse_unsupported(folder, config)
    return config


def read_promise(folder: Path) -> Promise | None:
    """How the linear layers are stored; None where they are not quantised.

    Raises:
        StartupError: this engine does not run it.
    """
    return stored_scheme.promise_of(folder, _read_json(folder / "config.json") or {})


def eos_token_ids(folder: Path, config: PretrainedConfig) -> frozenset[int]:
    """End-of-sequence ids: generation_config.json's, else config.json's."""
    ids = (_read_json(folder / "generation_config.json") or {}).get("eos_token_id")
    if ids is None:
        ids = getattr(config.get_text_config(), "eos_token_id", None)
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)


def model_max_len(config: PretrainedConfig) -> int:
    """Most positions the model itself can take in one context.

    With longrope it is the original length: beyond it the model would switch all sequences of a
    step to other frequencies, depending on what else is in the batch.
    """
    text = config.get_text_config()
    bound: int = getattr(text, "max_position_embeddings", None) or 4096
    for rope in _rope_parameters(text):
        if rope.get("rope_type") == "longrope":
            bound = min(bound, rope.get("original_max_position_embeddings") or bound)
    return bound


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
    own = config.get_text_config().dtype or getattr(config, "dtype", None)
    return _DTYPES.get(str(own).removeprefix("torch."), torch.float32)


def weight_file_names(folder: Path) -> list[str]:
    """The folder's safetensors files that its index names; one where there is no index."""
    index = _read_json(folder / "model.safetensors.index.json")
    return sorted(set(index["weight_map"].values())) if index else ["model.safetensors"]


def weight_files(folder: Path) -> WeightFiles:
    """Read the headers of the folder's safetensors files.

    Raises:
        StartupError: there is none, one is cut short, or only other formats are there.
    """
    tensor_bytes: dict[str, int] = {}
    dtypes: set[str] = set()
    num_parameters = 0
    for name in weight_file_names(folder):
        header = _safetensors_header(folder, name)
        header.pop("__metadata__", None)
        for tensor, entry in header.items():
            start, stop = entry["data_offsets"]
            tensor_bytes[tensor] = stop - start
            dtypes.add(entry["dtype"])
            num_parameters += math.prod(entry["shape"])
    return WeightFiles(
        tensor_bytes=tensor_bytes, num_parameters=num_parameters, dtypes=frozenset(dtypes)
    )


def free_bytes(device: torch.device) -> int | None:
    """Memory still free on the device; None where it is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return memory.available_bytes()


def resident_bytes(
    config: Mapping[str, Any], files: WeightFiles, *, dtype: torch.dtype, device: torch.device
) -> int:
    """Bytes of the weights once they are loaded and packed.

    On a CPU that packs bfloat16, a tied output head lies beside its embedding a second time.

    Args:
        config: config.json.
        files: of the folder; they count where config.json does not tell.
        dtype: in which the weights are held.
        device: on which.
    """
    packs = (
        device.type == "cpu"
        and dtype is torch.bfloat16
        and packed_linear.can_pack(torch.nn.Linear(1, 1))
    )
    try:
        shape = shapes.read(config)
    except UnknownShapeError:
        return files.num_parameters * dtype.itemsize
    tied = sizes.packed_head_bytes(shape, dtype.itemsize) if packs else 0
    if "quantization_config" in config:  # the files are what is held
        return files.total_bytes + tied
    return sizes.weights_bytes(shape, item_bytes=dtype.itemsize) + tied


def refuse_cache(
    config: Mapping[str, Any], settings: EngineSettings, *, dtype: torch.dtype, left_bytes: int
) -> None:
    """Refuse lengths that cannot fit beside the weights before those are read.

    ``warm_up.choose_lengths`` asks again, with what is really left by then.

    Raises:
        StartupError: --kv-cache-tokens or --max-model-len needs more than is left.
    """
    try:
        layers = shapes.attention_layers(config)
    except UnknownShapeError:
        return
    per_token = sizes.kv_bytes_per_token(layers, item_bytes=dtype.itemsize, has_latents=False)
    if settings.kv_cache_tokens is not None:
        flag, tokens, room = "--kv-cache-tokens", settings.kv_cache_tokens, left_bytes
    elif settings.max_model_len is not None:
        flag, tokens = "--max-model-len", settings.max_model_len
        room = int(left_bytes * fit.CPU_KV_SHARE)
    else:
        return
    if tokens * per_token > room:
        raise StartupError(
            f"{flag} {tokens} needs a KV cache of {tokens * per_token / 1e9:.1f} GB; "
            f"{room / 1e9:.1f} GB are free for it beside the weights. Lower it, or free memory."
        )


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
    promise = read_promise(folder)
    _refuse_memory(folder, files, settings, dtype=dtype, device=device)
    progress("load_weights", 0, files.total_bytes)
    if promise is not None:
        return quantized_loading.load(
            Tensors(folder, weight_file_names(folder)),
            config,
            promise,
            dtype=dtype,
            device=device,
            progress=progress,
            total_bytes=files.total_bytes,
        )
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
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise StartupError(f"{folder.name}: the weights cannot be loaded: {error}") from error
    finally:
        transformers_logging.set_tqdm_hook(previous)
    missing = sorted(map(str, (*report["missing_keys"], *report["mismatched_keys"])))
    if missing:  # transformers would run on with random numbers there
        raise StartupError(
            f"{folder.name}: {len(missing)} weights are missing or of another shape than "
            f"config.json says, among them {missing[0]}."
        )
    model = model.to(device).eval().requires_grad_(False)
    progress("load_weights", files.total_bytes, files.total_bytes)
    return model


def _refuse_memory(
    folder: Path,
    files: WeightFiles,
    settings: EngineSettings,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    plain = _read_json(folder / "config.json") or {}
    needed = resident_bytes(plain, files, dtype=dtype, device=device)
    free = free_bytes(device)
    if free is None:
        return
    if needed > free:
        raise StartupError(
            f"Not enough memory: {folder.name} needs {needed / 1e9:.1f} GB for its weights in "
            f"{str(dtype).removeprefix('torch.')}, and {free / 1e9:.1f} GB are free on "
            f"{device.type}. Take a smaller or quantised model, or free memory."
        )
    refuse_cache(plain, settings, dtype=dtype, left_bytes=free - needed)


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
    done = 0
    for name, mapping in items:
        yield name, mapping
        done += files.tensor_bytes.get(name, 0)
        progress("load_weights", done, files.total_bytes)


def _refuse_unsupported(folder: Path, config: PretrainedConfig) -> None:
    text = config.get_text_config()
    if getattr(config, "is_encoder_decoder", False):
        raise _refusal(folder, "it is an encoder-decoder model")
    kinds = set(getattr(text, "layer_types", None) or ()) - _ATTENTION_KINDS
    if kinds:
        raise _refusal(folder, f"it has layers of another kind ({', '.join(sorted(kinds))})")
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


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _safetensors_header(folder: Path, name: str) -> dict[str, Any]:
    """The header of one file: 8 bytes of length, then JSON (the format's own definition)."""
    try:
        with (folder / name).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = (folder / name).stat().st_size
            if not 0 < length <= size - 8:
                raise StartupError(f"{folder.name}/{name} is cut short.")
            header: dict[str, Any] = json.loads(file.read(length))
    except FileNotFoundError:
        raise StartupError(
            f"{folder.name}: {name} is missing. This server loads weights from safetensors only; "
            "other formats can run code when they are read."
        ) from None
    except ValueError:
        raise StartupError(f"{folder.name}/{name} is not a safetensors file.") from None
    end = max(
        (entry["data_offsets"][1] for k, entry in header.items() if k != "__metadata__"), default=0
    )
    if size != 8 + length + end:
        raise StartupError(f"{folder.name}/{name} has {size} bytes, not {8 + length + end}.")
    return header
