"""Folders whose files do not agree: what vLLM has to be told of them, and spared.

vLLM reads a model's folder itself: a head of its own it finds, as seen with 0.32, the length that
YaRN makes it has to be told. What would make it fail in its processes, in whose logs nobody looks
first, is refused before they start. No vLLM in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models import folder as model_folder
from models import rope
from models.errors import ModelRefusedError
from models.memory.context import context_length
from quantize import described_model
from serve.engine.model_files import Checkpoint
from serve.engine.vllm import other_schemes, served_dtypes
from serve.errors import StartupError


def refuse_misfit(checkpoint: Checkpoint, device: str = "cpu") -> None:
    """Compare the stored tensors with config.json, as the transformers engine does.

    A family that transformers does not know is vLLM's own business.

    Args:
        checkpoint: of the model.
        device: that vLLM runs on, in its words.

    Raises:
        StartupError: another model than the trained one would answer, or weights lie there that
            are no part of the model and that vLLM would read.
    """
    folder = checkpoint.folder
    strays = model_folder.stray_weights(folder)
    if strays:
        raise StartupError(
            f"{folder.name}: vLLM reads every *.safetensors of a folder without "
            f"{model_folder.INDEX}, and {strays[0]} is no part of the model. Move it away, or take "
            "--engine transformers."
        )
    if checkpoint.is_quantized:
        table = checkpoint.config["quantization_config"]
        fault = other_schemes.fault(served_dtypes.scheme_in(folder), table, device)
        if fault is not None:
            raise StartupError(
                f"vLLM cannot run {folder.name}: {fault}. Take the model's full weights, and "
                "--quant int4 or int8."
            )
        return
    try:
        described_model.check_folder(folder, checkpoint.config, checkpoint.tensors)
    except ModelRefusedError as refusal:
        raise StartupError(str(refusal)) from None


def stretched_context(config: Mapping[str, Any]) -> dict[str, Any]:
    """The length that YaRN makes of the one stated: vLLM takes the latter, whatever the factor."""
    length = context_length(config)
    is_yarn = any(rope.kind(one) == "yarn" for one in rope.parameters(config))
    if not is_yarn or length in (None, config.get("max_position_embeddings")):
        return {}
    return {"hf_overrides": {"max_position_embeddings": length}}
