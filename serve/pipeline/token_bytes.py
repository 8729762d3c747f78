"""The exact bytes of each token, as they stand inside a text. What no decoding of one id tells.

Decoding a single id loses what its neighbours decide: the space that a SentencePiece token begins
with is left out at the start of a text, and a part of a character is shown as U+FFFD. So a token is
decoded behind another one (an anchor) and the anchor's text is taken away again; a byte-fallback
token (``<0xE4>``) is its byte; a byte-level token is read by GPT-2's alphabet.

That is exact where a token's text depends on nothing but whether text stands before it. The
tokenizer's own decoder tells: see ``is_local``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")

_BY_TOKEN = frozenset({"Replace", "ByteFallback", "Metaspace", "WordPiece"})
_ANCHOR_TEXTS = ("a", "▁a", "x", "▁x", "e", "▁e", "1", "▁1", "0", "▁0")


class TokenBytes(dict[int, bytes]):
    """Bytes by token id, each found when it is first asked for.

    Args:
        bytes_of: of any id; ids that are of no token have none.
    """

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        super().__init__()
        self._bytes_of = bytes_of

    def __missing__(self, token_id: int) -> bytes:
        value = self[token_id] = self._bytes_of(token_id)
        return value


def decoder_parts(decoder: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The steps of a tokenizer.json's ``decoder``; none where it has none."""
    if not decoder:
        return []
    return list(decoder.get("decoders", [decoder]))


def is_byte_level(parts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether tokens are written in GPT-2's byte alphabet."""
    return bool(parts) and all(part.get("type") == "ByteLevel" for part in parts)


def has_byte_fallback(parts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether ``<0xNN>`` is a byte."""
    return any(part.get("type") == "ByteFallback" for part in parts)


def is_local(parts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a token's bytes depend on nothing but whether text stands before it.

    True where each step works token by token, and what comes after they are joined takes away one
    leading space at most.
    """
    kinds = [part.get("type") for part in parts]
    joined_at = kinds.index("Fuse") if "Fuse" in kinds else len(kinds)
    after = parts[joined_at + 1 :]
    return (
        bool(parts)
        and _BY_TOKEN.issuperset(kinds[:joined_at])
        and all(
            part.get("type") == "Strip"
            and part.get("content") == " "
            and part.get("start", 0) <= 1
            and not part.get("stop")
            for part in after
        )
        and len(after) <= 1
    )


def byte_level_bytes(token: str, byte_of: Mapping[str, int]) -> bytes:
    """The bytes that a token spells; its UTF-8 where it has characters beyond the alphabet."""
    mapped = [byte_of.get(char) for char in token]
    if None in mapped:
        return token.encode("utf-8", "replace")
    return bytes(value for value in mapped if value is not None)


def fallback_byte(token: str) -> bytes | None:
    """The byte of a byte-fallback token; None for any other."""
    match = BYTE_TOKEN.fullmatch(token)
    return bytes([int(match[1], 16)]) if match else None


def anchor(find: Callable[[str], int | None], decode: Callable[[Sequence[int]], str]) -> list[int]:
    """Ids of one plain token that text can stand behind; none where the vocabulary has none.

    Args:
        find: the id of a token.
        decode: ids to text, special tokens left out.
    """
    for text in _ANCHOR_TEXTS:
        token_id = find(text)
        if token_id is not None and decode([token_id]) == text.replace("▁", ""):
            return [token_id]
    return []


def behind(before: Sequence[int], token_id: int, decode: Callable[[Sequence[int]], str]) -> bytes:
    """UTF-8 of the text that a token adds to that of others; its own text where it changes them."""
    base = decode(before)
    text = decode([*before, token_id])
    return (text[len(base) :] if text.startswith(base) else decode([token_id])).encode()
