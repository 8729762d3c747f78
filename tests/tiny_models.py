"""Model folders small enough for any test: random weights, and a tokenizer trained here.

    folder = write_tiny_model(tmp_path / "tiny")                       # Qwen2
    folder = write_tiny_model(tmp_path / "m", "mistral", sliding_window=8)

The weights are noise, so is the text. Heads have 32 dimensions, because some CPU kernels know no
smaller ones. The end-of-sequence token is ``<|im_end|>``.
"""

from __future__ import annotations

import functools
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

IM_START, IM_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
EOS_TOKEN_ID = 2
VOCAB_SIZE = 1024

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# transformers' configuration class, then what differs from `_COMMON`.
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("Qwen2Config", {}),
    "qwen3": ("Qwen3Config", {"head_dim": 32}),
    "llama": ("LlamaConfig", {}),
    "mistral": ("MistralConfig", {"sliding_window": None}),
    "phi3": ("Phi3Config", {}),
    # Gemma scales its embeddings: tied, it would only ever repeat the last token.
    "gemma2": (
        "Gemma2Config",
        {
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 24,
            "tie_word_embeddings": False,
        },
    ),
    "gemma3_text": (
        "Gemma3TextConfig",
        {
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 24,
            "tie_word_embeddings": False,
        },
    ),
}

_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": EOS_TOKEN_ID,
    "pad_token_id": 0,
    # Wide enough that logits differ clearly: greedy choices must not hang on rounding.
    "initializer_range": 0.2,
}


def write_tiny_model(
    folder: Path,
    architecture: str = "qwen2",
    *,
    dtype: str = "float32",
    seed: int = 0,
    **config: Any,
) -> Path:
    """Write a model folder: config, safetensors weights, tokenizer, chat template.

    Args:
        folder: made if it is not there.
        architecture: a key of ``ARCHITECTURES``.
        dtype: of the stored weights.
        seed: of the weights.
        config: overrides of the configuration, such as ``num_hidden_layers=1``.

    Returns:
        ``folder``.
    """
    import torch
    import transformers

    class_name, own = ARCHITECTURES[architecture]
    settings = getattr(transformers, class_name)(**(_COMMON | own | config))
    settings.dtype = getattr(torch, dtype)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(settings)
    folder.mkdir(parents=True, exist_ok=True)
    model.to(settings.dtype).save_pretrained(folder)
    write_tokenizer(folder)
    (folder / "generation_config.json").write_text(
        json.dumps({"eos_token_id": EOS_TOKEN_ID, "pad_token_id": 0})
    )
    return folder


def write_tokenizer(folder: Path) -> Path:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(_tokenizer_json(), "utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, "utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": IM_END,
                "pad_token": END_OF_TEXT,
                "chat_template": CHAT_TEMPLATE,
                "model_max_length": _COMMON["max_position_embeddings"],
            }
        )
    )
    return folder


@functools.cache
def _tokenizer_json() -> str:
    """A byte-level BPE of ``VOCAB_SIZE`` tokens, trained on the standard library's own prose."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    sources = [inspect.getsource(module) for module in (textwrap, inspect, json, functools)]
    tokenizer.train_from_iterator(
        sources,
        trainers.BpeTrainer(
            vocab_size=VOCAB_SIZE,
            special_tokens=[END_OF_TEXT, IM_START, IM_END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer.to_str()
