"""Token ids to text, piece by piece, never cutting a character in two. Pure and incremental.

Two ways, chosen by the tokenizer's own decoder:

- byte-level (GPT-2, Qwen, Llama 3, ...): each token is a byte string; an incremental UTF-8 decoder
  holds back an unfinished character. One table look-up per token.
- all others (SentencePiece and the like, where a token's text depends on its neighbours): decode a
  short window and send what is new. The idea of a window with two offsets is Hugging Face TGI's.

Whatever the pieces, the texts joined equal the decoding of all ids at once (property-tested).
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import Protocol

MAX_HELD_TOKENS = 8
"""A character has at most four bytes: more tokens than this cannot be one unfinished character."""


class Detokenizer(Protocol):
    """The text of one choice, as its tokens arrive."""

    def feed(self, token_ids: Sequence[int]) -> str:
        """The text that these tokens complete; may be empty."""
        ...

    def finish(self) -> str:
        """The rest when no token follows; broken bytes become U+FFFD."""
        ...


class ByteDetokenizer:
    """For byte-level tokenizers.

    Args:
        token_bytes: by token id; special tokens and ids without a token are empty.
    """

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token_ids: Sequence[int]) -> str:
        table = self._token_bytes
        return self._decoder.decode(b"".join([table[token_id] for token_id in token_ids]))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


class WindowDetokenizer:
    """For tokenizers whose tokens have no text of their own.

    Args:
        decode: ids to text, without special tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._num_sent = 0  # tokens at the window's start whose text was sent; they give context

    def feed(self, token_ids: Sequence[int]) -> str:
        return "".join([self._feed_one(token_id) for token_id in token_ids])

    def _feed_one(self, token_id: int) -> str:
        self._window.append(token_id)
        text = self._unsent()
        num_held = len(self._window) - self._num_sent
        if text.endswith("\N{REPLACEMENT CHARACTER}") and num_held < MAX_HELD_TOKENS:
            return ""
        del self._window[: self._num_sent]
        self._num_sent = len(self._window)
        return text

    def finish(self) -> str:
        text = self._unsent() if len(self._window) > self._num_sent else ""
        self._num_sent = len(self._window)
        return text

    def _unsent(self) -> str:
        sent = self._decode(self._window[: self._num_sent]) if self._num_sent else ""
        return self._decode(self._window)[len(sent) :]
