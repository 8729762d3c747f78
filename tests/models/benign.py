"""Model folders of the shapes that people have: all must pass. ``FOLDERS``: name → maker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.models.chat_templates import SHAPES
from tests.models.folders import whole
from tests.models.poison import INDEX, put

Make = Callable[[Path], object]


def files(**texts: str | bytes) -> Make:
    """Files by name; a double underscore stands for the dot, a triple one for the slash."""

    def make(folder: Path) -> None:
        for name, content in texts.items():
            put(folder, name.replace("___", "/").replace("__", "."), content)

    return make


def config(**values: Any) -> Make:
    return lambda folder: put(folder, "config.json", json.dumps(values))


def sharded(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for number in (1, 2, 3):
        name = f"model-0000{number}-of-00003.safetensors"
        first = {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}
        second = {"dtype": "BF16", "shape": [2, 2], "data_offsets": [8, 16]}
        raw = json.dumps({f"t{number}": first, f"w{number}": second}).encode()
        put(folder, name, len(raw).to_bytes(8, "little") + raw + bytes(16))
        weight_map |= {f"t{number}": name, f"w{number}": name}
    put(folder, INDEX, json.dumps({"metadata": {"total_size": 48}, "weight_map": weight_map}))


def named_templates(folder: Path) -> None:
    several = [{"name": name, "template": source} for name, source in SHAPES.items()]
    put(folder, "tokenizer_config.json", json.dumps({"chat_template": several}))
    put(folder, "chat_template.json", json.dumps({"chat_template": SHAPES["gemma"]}))
    put(folder, "additional_chat_templates/rag.jinja", SHAPES["cohere"])


def padded_header(folder: Path) -> None:
    raw = (
        json.dumps(
            {
                "__metadata__": {"format": "pt"},
                "a": {"dtype": "F8_E4M3", "shape": [3], "data_offsets": [0, 3]},
                "b": {"dtype": "F32", "shape": [], "data_offsets": [3, 7]},
                "c": {"dtype": "I64", "shape": [0, 7], "data_offsets": [7, 7]},
            }
        ).encode()
        + b" " * 13
    )
    put(folder, "model.safetensors", len(raw).to_bytes(8, "little") + raw + bytes(7))


TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "added_tokens": [{"id": 0, "content": "<|im_end|>", "special": True}],
    "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{N}"}, "behavior": "Isolated"},
    "model": {
        "type": "BPE",
        "vocab": {"auto_map": 0, "file": 1, "path": 2},
        "merges": [["a", "b"]],
    },
}

QWEN2 = {
    "_name_or_path": "/data/checkpoints/Qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "attn_implementation": "sdpa",
    "_attn_implementation_autoset": True,
    "model_type": "qwen2",
    "use_sliding_window": False,
    "quantization_config": None,
    "rope_scaling": None,
}
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "ignore": ["lm_head", "re:.*visual.*"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 4, "type": "int", "group_size": 128, "observer": "minmax"},
            "input_activations": None,
        }
    },
    "kv_cache_scheme": None,
}

FOLDERS: dict[str, Make] = {
    "a single file": lambda folder: None,
    "shards": sharded,
    "a header with padding and empty tensors": padded_header,
    "Qwen": config(**QWEN2),
    "Gemma 3, with parts": config(
        model_type="gemma3",
        architectures=["Gemma3ForConditionalGeneration"],
        text_config={"model_type": "gemma3_text", "_name_or_path": "google/x", "sliding_window": 9},
        vision_config={"model_type": "siglip_vision_model", "layers": []},
    ),
    "Llama, quantised": config(model_type="llama", quantization_config=COMPRESSED),
    "bitsandbytes": config(
        model_type="llama",
        quantization_config={
            "quant_method": "bitsandbytes",
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "llm_int8_skip_modules": None,
        },
    ),
    "Mamba's infinity": files(config__json='{"time_step_limit": [0.0, Infinity]}'),
    "a fast tokenizer": files(
        tokenizer__json=json.dumps(TOKENIZER),
        tokenizer_config__json=json.dumps(
            {
                "tokenizer_class": "Qwen2Tokenizer",
                "tokenizer_file": None,
                "special_tokens_map_file": "/a/b/special_tokens_map.json",
                "chat_template": SHAPES["qwen3"],
                "eos_token": {"content": "<|im_end|>", "__type": "AddedToken"},
            }
        ),
        special_tokens_map__json=json.dumps({"eos_token": "<|im_end|>"}),
        added_tokens__json=json.dumps({"auto_map": 3}),
    ),
    "a slow tokenizer": files(
        vocab__json=json.dumps({"auto_map": 7, "trust_remote_code": 8}),
        merges__txt="#version: 0.2\nĠ t\nca t\n",
        tokenizer__model=b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00",
        vocab__txt="cat\ndog\n(\n[PAD]\n",
        o200k__tiktoken="IQ== 0\nIg== 1\n",
    ),
    "several templates": named_templates,
    "a page and a licence": files(
        README__md="---\nlicense: mit\n---\n```py\nAutoModel(trust_remote_code=True)\n```",
        LICENSE="Apache",
        NOTICE="x",
        LICENSE__txt="MIT",
    ),
    "what download tools leave": files(
        __gitattributes="*.safetensors filter=lfs", __cache___huggingface___x__lock=""
    ),
    "second copies": files(original___params__json='{"dim": 4096, "n_layers": 32}'),
    "other settings": files(
        generation_config__json=json.dumps({"eos_token_id": [1, 2], "do_sample": True}),
        preprocessor_config__json=json.dumps({"image_processor_type": "Gemma3ImageProcessor"}),
        modules__json=json.dumps([{"idx": 0, "type": "sentence_transformers.models.Pooling"}]),
    ),
    "a manifest and a signature": files(
        manifest__json='{"files": [{"path": "config.json"}]}', model__sig='{"mediaType": "x"}'
    ),
}


def folder(path: Path, name: str) -> Path:
    """A folder of this shape, made at ``path``."""
    made = whole(path)
    FOLDERS[name](made)
    return made
