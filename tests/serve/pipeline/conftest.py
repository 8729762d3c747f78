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


def gemma_like_tokenizer() -> ModelTokenizer:
    """SentencePiece-like without a leading space: neither put in nor left out."""
    tokenizer = Tokenizer.from_str(sentencepiece_tokenizer()._tokenizer.to_str())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return ModelTokenizer(tokenizer, {}, tokenizer.get_vocab_size())


def metaspace_tokenizer() -> ModelTokenizer:
    """As T5's and XLM-R's: a unigram model, no byte fallback, a space before the first word."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.train_from_iterator(
        TEXT,
        trainers.UnigramTrainer(
            vocab_size=300,
            special_tokens=["<unk>", "<s>", "</s>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    return ModelTokenizer(tokenizer, {}, tokenizer.get_vocab_size())


def wordpiece_tokenizer() -> ModelTokenizer:
    """As BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        TEXT,
        trainers.WordPieceTrainer(
            vocab_size=200, special_tokens=["[UNK]", "[SEP]"], show_progress=False
        ),
    )
    return ModelTokenizer(tokenizer, {}, tokenizer.get_vocab_size())


def suffixed_tokenizer() -> ModelTokenizer:
    """As the first GPT's: a word's last token ends in a mark, and the text's last in no space."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    tokenizer.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<unk>", "</s>"],
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    return ModelTokenizer(tokenizer, {}, tokenizer.get_vocab_size())


@pytest.fixture(scope="session")
def byte_level() -> ModelTokenizer:
    return byte_level_tokenizer()


@pytest.fixture(scope="session")
def sentencepiece() -> ModelTokenizer:
    return sentencepiece_tokenizer()
