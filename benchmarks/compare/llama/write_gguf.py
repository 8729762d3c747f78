"""Write a Qwen2 or Llama folder of safetensors as GGUF, for an interpreter with gguf and numpy.

    python write_gguf.py FOLDER OUT.gguf bf16|f16|q8_0|q4_0

Every matrix gets the type, the embedding too, as in the files that llama.cpp's users have; rows
that blocks of 32 do not divide stay f16. It has no vocabulary: only token ids go in and out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np

_ARCHITECTURES = {"qwen2": gguf.MODEL_ARCH.QWEN2, "llama": gguf.MODEL_ARCH.LLAMA}
_BLOCK = 32
_TYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def main(folder: Path, out: Path, kind: str) -> None:
    """Write the file; it appears whole."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    model_type = config["model_type"]
    if model_type not in _ARCHITECTURES:
        raise SystemExit(f"{model_type}: only {' and '.join(_ARCHITECTURES)} can be written")
    architecture = _ARCHITECTURES[model_type]
    new = out.with_suffix(".new")
    writer = gguf.GGUFWriter(new, gguf.MODEL_ARCH_NAMES[architecture])
    _describe(writer, config)
    names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    wanted = gguf.GGMLQuantizationType[kind.upper()]
    is_block = kind.startswith("q")
    for name, read in _tensors(folder):
        own = names.get_name(name, try_suffixes=(".weight", ".bias"))
        values = _in_place(read, name, config) if model_type == "llama" else read
        if values.ndim == 1:
            writer.add_tensor(own, values)
            continue
        divides = values.shape[1] % _BLOCK == 0 or not is_block
        stored = wanted if divides else gguf.GGMLQuantizationType.F16
        packed = gguf.quants.quantize(values, stored)
        writer.add_tensor(own, packed, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    new.replace(out)


def _tensors(folder: Path) -> Iterator[tuple[str, Any]]:
    """Names and float32 values. The format: 8 bytes of header size, a JSON header, then bytes."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(size))
        header.pop("__metadata__", None)
        stored = np.memmap(path, np.uint8, "r", offset=8 + size)
        for name, about in header.items():
            start, end = about["data_offsets"]
            values = stored[start:end].view(_TYPES[about["dtype"]]).reshape(about["shape"])
            if about["dtype"] == "BF16":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            yield name, values.astype(np.float32)


def _in_place(values: Any, name: str, config: dict[str, Any]) -> Any:
    """Queries and keys in the order of llama.cpp's rotation, which takes neighbours for Llama."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    for part, key in heads.items():
        if name.endswith(f"{part}.weight"):
            halves = values.reshape(config[key], 2, -1, values.shape[1])
            return halves.swapaxes(1, 2).reshape(values.shape)
    return values


def _describe(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    rope: dict[str, Any] = config.get("rope_parameters") or {}
    heads = config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    writer.add_rope_freq_base(rope.get("rope_theta") or config.get("rope_theta", 10_000.0))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
