"""Tokenizers of every shape that is in use, trained here, with added tokens of every flag.

Each has `CONTROL` as special tokens, in its vocabulary as published models have them, and `ADDED`
besides: not special, matched after the normaliser, taking white space along, as whole words only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

CONTROL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
ADDED = [
    AddedToken("<think>", normalized=False),
    AddedToken("</think>", normalized=True),
    AddedToken("<tool_call>", lstrip=True, rstrip=True, normalized=False),
    AddedToken("[inst]", special=True, normalized=True),
    AddedToken("<mask>", lstrip=True, special=True, normalized=False),
    AddedToken("endword", single_word=True, normalized=False),
    AddedToken("<|end of turn|>", rstrip=True, special=True, normalized=True),
    AddedToken("    ", normalized=False),
]
TEXT = [
    "The audit log is in the state directory. Where is the audit log? [ ] < > / | _ end of turn",
    "def prefill(prompt): return decode(prompt)  # two phases, one cache, and a tool call to think",
    "system user assistant tool harmless x y z Grüße aus Köln, naïve café 0123456789",
] * 4
UNKNOWN = "<unk>"


def shape(name: str) -> Tokenizer:
    """A tokenizer, made once: copy it before it is changed."""
    return Tokenizer.from_str(_made(name))


@functools.cache
def _made(name: str) -> str:
    tokenizer = SHAPES[name]()
    tokenizer.add_special_tokens(CONTROL)
    tokenizer.add_tokens(ADDED)
    made: str = tokenizer.to_str()
    return made


def _byte_level(*, ignore_merges: bool = False, prefix: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    _train_bpe(tokenizer, CONTROL, pre_tokenizers.ByteLevel.alphabet())
    return tokenizer


def _llama() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )
    # The pieces that a conversion from SentencePiece finds merges for, control tokens too.
    tokenizer.train_from_iterator(
        [*TEXT, *(f"{token} " * 20 for token in CONTROL)],
        trainers.BpeTrainer(vocab_size=600, special_tokens=[UNKNOWN], show_progress=False),
    )
    return tokenizer


def _unigram(scheme: str) -> Tokenizer:
    pieces = {piece for text in TEXT for word in text.split() for piece in (word, "▁" + word)}
    letters = {letter for text in TEXT for letter in text} - {" "} | {"▁"}
    vocab = [(UNKNOWN, 0.0), *((token, 0.0) for token in CONTROL)]
    vocab += [(piece, -8.0) for piece in sorted(pieces - letters)]
    vocab += [(letter, -12.0) for letter in sorted(letters)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return tokenizer


def _wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        TEXT,
        trainers.WordPieceTrainer(
            vocab_size=400, special_tokens=["[UNK]", "[SEP]", *CONTROL], show_progress=False
        ),
    )
    tokenizer.add_special_tokens(["[UNK]", "[SEP]"])
    return tokenizer


def _word_level() -> Tokenizer:
    words = sorted({word for text in TEXT for word in text.split()})
    vocab = {word: i for i, word in enumerate([UNKNOWN, *CONTROL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def _folding() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.NFD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train_bpe(tokenizer, CONTROL, pre_tokenizers.ByteLevel.alphabet())
    return tokenizer


def _train_bpe(tokenizer: Tokenizer, special: list[str], alphabet: list[str]) -> None:
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)


SHAPES: dict[str, Callable[[], Tokenizer]] = {
    "byte-level": _byte_level,
    "byte-level, whole words first": lambda: _byte_level(ignore_merges=True),
    "byte-level, space before": lambda: _byte_level(prefix=True),
    "llama": _llama,
    "unigram, first": lambda: _unigram("first"),
    "unigram, always": lambda: _unigram("always"),
    "unigram, never": lambda: _unigram("never"),
    "wordpiece": _wordpiece,
    "word level": _word_level,
    "folding": _folding,
}
