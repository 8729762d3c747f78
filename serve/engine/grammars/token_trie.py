"""A model's tokens as llguidance has them: every grammar of the model is compiled for them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TypeAlias

from llguidance import LLMatcher, LLTokenizer

TokenTrie: TypeAlias = LLTokenizer
Matcher: TypeAlias = LLMatcher

_SILENT = 0


def load(folder: Path, vocab_size: int, eos_token_ids: Collection[int]) -> TokenTrie:
    """The tokens of tokenizer.json, which is all that is read. Takes a second for 150,000 of them.

    Args:
        folder: the model's.
        vocab_size: of the model; its masks have at least so many places.
        eos_token_ids: those that end an answer.

    Raises:
        OSError: there is no such file.
        ValueError: no end-of-sequence token, or a tokenizer whose tokens are not known in bytes.
    """
    text = (folder / "tokenizer.json").read_text("utf-8")
    if not text.lstrip().startswith("{"):  # it would be taken for a path
        raise ValueError("tokenizer.json holds no JSON object")
    ends = sorted(eos_token_ids)
    try:
        return LLTokenizer(text, n_vocab=vocab_size, eos_token=ends)
    except ValueError as error:
        if "vocab size too small" not in str(error):
            raise
        return LLTokenizer(text, eos_token=ends)  # more tokens than the model has


def matcher(trie: TokenTrie, text: str) -> Matcher:
    """A grammar's matcher, from ``serialised.serialised``. In an error state if it is none."""
    return LLMatcher(trie, text, log_level=_SILENT)
