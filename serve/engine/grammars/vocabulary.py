"""The vocabulary of a model as llguidance needs it: the bytes of each token, from tokenizer.json.

Takes about a second for 150,000 tokens, without the interpreter's lock for most of it: call it in a
thread, once for each model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from llguidance import LLTokenizer

from models import plain_file

_MAX_BYTES = 256 * 1024 * 1024
_LARGER = re.compile(r"vocab size too small; \d+ vs (\d+)")
_SAMPLE = b'{"a": [1]}'


class VocabularyError(Exception):
    """A tokenizer that llguidance cannot read, so that this model takes no grammars."""


def load(folder: Path, *, vocab_size: int, eos_token_ids: Collection[int]) -> LLTokenizer:
    """The vocabulary of a model folder.

    Args:
        folder: of the model.
        vocab_size: of the model; tokens of the tokenizer beyond it can never come.
        eos_token_ids: tokens that end a completion; at least one.

    Raises:
        VocabularyError: there is no tokenizer.json, or it is of a kind that llguidance does not
            know; or nothing ends a completion.
    """
    if not eos_token_ids:
        raise VocabularyError("no token ends a completion")
    try:
        text = plain_file.read_text(folder / "tokenizer.json", _MAX_BYTES)
    except (OSError, ValueError) as error:
        raise VocabularyError(f"tokenizer.json cannot be read ({type(error).__name__})") from None
    vocabulary = _load(text, vocab_size, sorted(eos_token_ids))
    if not _is_plain(vocabulary):
        vocabulary = _load(_without_prefix(text), vocab_size, sorted(eos_token_ids))
        if not _is_plain(vocabulary):
            raise VocabularyError("the tokenizer changes a text that it splits into tokens")
    return vocabulary


def _load(text: str, vocab_size: int, eos_token_ids: list[int]) -> LLTokenizer:
    try:
        try:
            return LLTokenizer(text, n_vocab=vocab_size, eos_token=eos_token_ids)
        except ValueError as error:
            larger = _LARGER.search(str(error))
            if larger is None:
                raise
            return LLTokenizer(text, n_vocab=int(larger[1]), eos_token=eos_token_ids)
    except ValueError as error:
        raise VocabularyError(str(error).split(":", maxsplit=1)[0][:120]) from None
    except BaseException as error:
        # A panic of the Rust code is a BaseException of its own kind; an exit is not ours to stop.
        if type(error).__name__ != "PanicException":
            raise
        raise VocabularyError("the tokenizer is damaged") from None


def _is_plain(vocabulary: LLTokenizer) -> bool:
    """Whether a text is split as it is. A space put before it would be taken for a forced one."""
    return vocabulary.decode_bytes(vocabulary.tokenize_bytes(_SAMPLE)) == _SAMPLE


def _without_prefix(text: str) -> str:
    """The tokenizer.json of a tokenizer that puts no space before a text."""

    def change(node: Any) -> Any:
        if isinstance(node, list):
            return [change(child) for child in node]
        if not isinstance(node, dict):
            return node
        changed = {name: change(child) for name, child in node.items()}
        if "add_prefix_space" in changed:
            changed["add_prefix_space"] = False
        if "prepend_scheme" in changed:
            changed["prepend_scheme"] = "never"
        if changed.get("type") == "Prepend":
            changed["prepend"] = ""
        return changed

    whole = json.loads(text)
    return json.dumps(
        {name: child if name == "model" else change(child) for name, child in whole.items()}
    )
