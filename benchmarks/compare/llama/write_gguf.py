"""Write a Qwen2 folder of safetensors as GGUF, for an interpreter with gguf, torch and safetensors.

    python write_gguf.py FOLDER OUT.gguf f16|q8_0|q4_0

Every matrix gets the type, the embedding too, as in the files that llama.cpp's users have; rows
that blocks of 32 do not divide stay f16. It has no vocabulary: only token ids go in and out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors import safe_open

_ARCHITECTURE = gguf.MODEL_ARCH.QWEN2
_BLOCK = 32


def main(folder: Path, out: Path, kind: str) -> None:
    """Write the file; it appears whole."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    new = out.with_suffix(".new")
    writer = gguf.GGUFWriter(new, gguf.MODEL_ARCH_NAMES[_ARCHITECTURE])
    _describe(writer, config)
    names = gguf.get_tensor_name_map(_ARCHITECTURE, config["num_hidden_layers"])
    wanted = gguf.GGMLQuantizationType[kind.upper()]
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                values = file.get_tensor(name).to(torch.float32).numpy()
                own = names.get_name(name, try_suffixes=(".weight", ".bias"))
                if values.ndim == 1:
                    writer.add_tensor(own, values)
                    continue
                divides = values.shape[1] % _BLOCK == 0
                stored = wanted if divides else gguf.GGMLQuantizationType.F16
                packed = gguf.quants.quantize(values, stored)
                writer.add_tensor(own, packed, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    new.replace(out)


def _describe(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    rope: dict[str, Any] = config.get("rope_parameters") or {}
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    writer.add_rope_freq_base(rope.get("rope_theta") or config.get("rope_theta", 10_000.0))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
