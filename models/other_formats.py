"""The formats of other tools, known by name, and what to do about each.

Two kinds. Weights in safetensors that another tool quantised have an ``OtherScheme``: vLLM may read
them (quantize/plan/scheme_support.py). All else is read by no engine here, and ``unreadable`` has
one line for each, which every command says alike::

    AWQ · GPTQ · fp8 · fbgemm fp8 · ModelOpt fp8 · MXFP4 · bitsandbytes     an OtherScheme
    GGUF · EXL2 and EXL3 · MLX · ONNX · PyTorch's .bin                      a line

Reads names and JSON only.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import plain_file
from models.errors import ModelRefusedError
from models.refs import OtherScheme

MAX_CONFIG_BYTES = 4 << 20
MAX_ENTRIES = 20_000
"""Names that are looked at; models/policy.py refuses a folder with more."""
_FULL = "Take the model's full weights (safetensors), and --quant int4 or int8"
_GGUF = "GGUF, which llama.cpp reads and no engine here"
_PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt"})


def scheme(quantization: Mapping[str, Any]) -> OtherScheme | None:
    """The scheme that another tool's ``quantization_config`` declares; None for one unknown here.

    Args:
        quantization: config.json's, of none of our own schemes.
    """
    match quantization:
        case {"quant_method": "awq"}:
            return OtherScheme.AWQ
        case {"quant_method": "gptq"}:
            return OtherScheme.GPTQ
        case {"quant_method": "fp8", "weight_block_size": [_, _]}:
            return OtherScheme.FP8_BLOCK
        case {"quant_method": "fp8"}:
            return OtherScheme.FP8_TENSOR
        case {"quant_method": "fbgemm_fp8"}:
            return OtherScheme.FBGEMM_FP8
        case {"quant_method": "modelopt", "quant_algo": "FP8"}:
            return OtherScheme.MODELOPT_FP8
        case {"quant_method": "modelopt", "quantization": {"quant_algo": "FP8"}}:
            return OtherScheme.MODELOPT_FP8
        case {"quant_method": "mxfp4"}:
            return OtherScheme.MXFP4
        case {"quant_method": "bitsandbytes"}:
            return OtherScheme.BITSANDBYTES
    return None


def unreadable_quantization(config: Mapping[str, Any]) -> str | None:
    """The line on config.json of a format that no engine here reads; None for others."""
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, Mapping) else None
    if method in ("exl2", "exl3"):
        name = str(method).upper()
        return f"is quantised as {name}, which ExLlama reads and no engine here. {_FULL}."
    if method == "gguf":
        return f"says that it is {_GGUF}. {_FULL}."
    mlx = config.get("quantization")
    if isinstance(mlx, Mapping) and "bits" in mlx and method is None:
        return f"is quantised for MLX, which Apple's chips alone run. {_FULL}."
    return None


def unreadable_files(path: Path) -> str | None:
    """The line on a file, or on a folder whose weights are in no safetensors; None for others.

    Args:
        path: of a file, or of a folder.
    """
    if path.is_file():
        return f"is a file of {_GGUF}. {_FULL}." if path.suffix.lower() == ".gguf" else None
    suffixes = _suffixes(path)
    if ".safetensors" in suffixes:
        return None
    if ".gguf" in suffixes:
        return f"holds {_GGUF}. {_FULL}."
    if ".onnx" in suffixes | _suffixes(path / "onnx"):
        return f"holds an ONNX export, which no engine here reads. {_FULL}."
    if suffixes & _PICKLES:
        return (
            "holds PyTorch's pickles (.bin, .pt), which can run code when they are read, and no "
            "safetensors. Fetch a revision with model.safetensors, or convert them where you trust "
            "them: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)."
        )
    return None


def require_readable(path: Path) -> None:
    """Raises ModelRefusedError: the file or folder is of a format that no engine here reads."""
    line = unreadable_files(path)
    if line is None and path.is_dir():
        try:
            config = json.loads(plain_file.read(path / "config.json", MAX_CONFIG_BYTES))
        except (OSError, ValueError, RecursionError):
            return  # whoever reads it next says so
        line = unreadable_quantization(config) if isinstance(config, dict) else None
    if line is not None:
        what = "the model folder" if path.is_dir() else "the model"
        raise ModelRefusedError(f"{what} {path} {line}")


def _suffixes(folder: Path) -> set[str]:
    """The suffixes of what lies in a folder; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, MAX_ENTRIES)]
    except OSError:
        return set()
    return {Path(name).suffix.lower() for name in names}
