"""Tokenizers trained in-process: byte-level as Qwen's, and SentencePiece-like as Llama 2's."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from serve.pipeline.tokenizer import ModelTokenizer

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXT = [
    "The audit log is in the state directory. Where is the audit log?",
    "def prefill(prompt): return decode(prompt)  # two phases, one cache",
    "你好，世界。模型在你的墙内运行。 Grüße aus Köln, naïve café 🙂🙃",
] * 4


def byte_level_tokenizer() -> ModelTokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.add_tokens(["<tool_call>", "with space"])
    return ModelTokenizer(tokenizer, {}, tokenizer.get_vocab_size() + 8)


def sentencepiece_tokenizer() -> ModelTokenizer:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    tokenizer.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))],
            show_progress=False,
        ),
    )
    # Byte tokens are plain tokens in the real ones; the trainer can only add them as special.
    raw = tokenizer.to_str()
    for byte in range(256):
        raw = raw.replace(
            f'"content":"<0x{byte:02X}>","single_word":false,"lstrip":false,"rstrip":false,'
            '"normalized":false,"special":true',
            f'"content":"<0x{byte:02X}>","single_word":false,"lstrip":false,"rstrip":false,'
            '"normalized":false,"special":false',
        )
    return ModelTokenizer(Tokenizer.from_str(raw), {}, tokenizer.get_vocab_size())


@pytest.fixture(scope="session")
def byte_level() -> ModelTokenizer:
    return byte_level_tokenizer()


@pytest.fixture(scope="session")
def sentencepiece() -> ModelTokenizer:
    return sentencepiece_tokenizer()
