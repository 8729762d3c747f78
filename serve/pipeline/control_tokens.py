"""Control tokens of a tokenizer: which they are, and a copy of it in which no text spells them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer

_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


def is_control(token: AddedToken) -> bool:
    """Whether an added token is more than a run of white space, which is ordinary text."""
    return token.special or bool(token.content.replace("▁", " ").strip())


def is_byte(token: AddedToken, model: dict[str, Any]) -> bool:
    """Whether it stands for one byte of text that the vocabulary cannot spell."""
    return bool(model.get("byte_fallback") and _BYTE_TOKEN.fullmatch(token.content))


def ids_of_text(model: dict[str, Any], tokens: dict[int, AddedToken]) -> frozenset[int]:
    """Ids of added tokens that plain text may come to as well: an unknown character's, a byte's."""
    unknown = model.get("unk_token")
    return frozenset(
        i
        for i, token in tokens.items()
        if token.content == unknown or i == model.get("unk_id") or is_byte(token, model)
    )


def renamed(
    stored: dict[str, Any], tokens: dict[int, AddedToken], names: dict[int, str]
) -> Tokenizer:
    """A copy of the tokenizer in which control tokens have names that no text spells.

    Their old names are out of the vocabulary, too, so that no merge and no search comes to them.
    Changes ``stored``.
    """
    new_name = {tokens[i].content: name for i, name in names.items()}
    stored["post_processor"] = stored["truncation"] = stored["padding"] = None
    stored["added_tokens"] = [
        {**entry, "content": new_name.get(entry["content"], entry["content"])}
        for entry in stored["added_tokens"]
        if entry["id"] not in tokens or entry["id"] in names
    ]
    model = stored["model"]
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        model["vocab"] = {new_name.get(piece, piece): i for piece, i in vocab.items()}
    else:
        model["vocab"] = [[new_name.get(piece, piece), score] for piece, score in vocab]
    if model.get("unk_token") in new_name:
        model["unk_token"] = new_name[model["unk_token"]]
    if model.get("merges"):
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [
            merge for merge in model["merges"] if not _makes_any(merge, prefix, new_name)
        ]
    return Tokenizer.from_str(json.dumps(stored, ensure_ascii=False))


def _makes_any(merge: str | Sequence[str], prefix: str, names: dict[str, str]) -> bool:
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left in names or right in names or left + right.removeprefix(prefix) in names
