"""Token ids to text, piece by piece, never cutting a character in two. No I/O.

There are two ways, and the tokenizer's own decoder tells which (token_bytes.py):

- bytes: each token is a byte string, and an incremental UTF-8 decoder holds back an unfinished
  character. For byte-level tokenizers (GPT-2, Qwen, Llama 3, ...), and for SentencePiece-like and
  WordPiece ones, whose first token alone may differ (its leading space is left out).
- a window, for all others: decode the last few tokens and send what is new. The idea of a window
  with two offsets is Hugging Face TGI's.

Either continues a prompt where it is given one: the text of prompt and answer together is then the
decoding of all ids. Broken bytes become U+FFFD, one for each broken part (Unicode 16, section 3.9,
"Substitution of Maximal Subparts"); a part that the prompt began and nobody finished is the
prompt's, and no text of the answer.

Whatever the pieces, the texts joined are the same (property-tested).
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Protocol

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MAX_HELD_TOKENS = 8
"""A character has at most four bytes: more tokens than this cannot be one unfinished character."""
CONTEXT_TOKENS = 32
"""Tokens of a prompt's end that a window begins with."""

Decode = Callable[[Sequence[int]], str]


class Detokenizer(Protocol):
    """The text of one choice, as its tokens arrive."""

    def feed(self, token_ids: Sequence[int]) -> str:
        """The text that these tokens complete; may be empty."""
        ...

    def finish(self) -> str:
        """The rest when no token follows; broken bytes become U+FFFD."""
        ...

    @property
    def is_holding(self) -> bool:
        """Whether an unfinished character is held back."""
        ...

    def peek(self, token_id: int) -> tuple[bytes, int]:
        """Describe the next token, if it is this one; changes nothing.

        Returns:
            Its bytes at this place, and the characters of the text to come that it does not take
            part in: 1 where it breaks off a held character, else 0.
        """
        ...


class ByteDetokenizer:
    """A detokenizer for tokenizers whose tokens are bytes.

    Args:
        token_bytes: by token id; empty for special tokens and ids without a token.
        first_bytes: the same for a token that no text stands before; None where it is no different.
        has_text: whether a token counts as text that another one stands behind.
        prompt: ids that the text continues.
    """

    def __init__(
        self,
        token_bytes: Mapping[int, bytes],
        *,
        first_bytes: Callable[[int], bytes] | None = None,
        has_text: Callable[[int], bool] = lambda _token_id: True,
        prompt: Sequence[int] = (),
    ) -> None:
        self._token_bytes = token_bytes
        self._has_text = has_text
        self._first_bytes = first_bytes
        if first_bytes is not None and any(map(has_text, reversed(prompt))):
            self._first_bytes = None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        tail = b"".join(self._token_bytes[i] for i in prompt[-CONTEXT_TOKENS:])[-3:]
        unfinished = _unfinished(tail)
        self._decoder.decode(unfinished)
        self._is_prompts = bool(unfinished)  # what is held was begun by the prompt

    def feed(self, token_ids: Sequence[int]) -> str:
        if self._first_bytes is not None or self._is_prompts:
            return "".join([self._feed_one(token_id) for token_id in token_ids])
        table = self._token_bytes
        return self._decoder.decode(b"".join([table[token_id] for token_id in token_ids]))

    def _feed_one(self, token_id: int) -> str:
        raw = self._bytes_of(token_id)
        if self._first_bytes is not None and self._has_text(token_id):
            self._first_bytes = None
        if not self._is_prompts:
            return self._decoder.decode(raw)
        return "".join([self._feed_byte(raw[at : at + 1]) for at in range(len(raw))])

    def _feed_byte(self, byte: bytes) -> str:
        if self._is_prompts and not _continues(self._held, byte):
            self._decoder.reset()  # the broken character is the prompt's
            self._is_prompts = False
        text = self._decoder.decode(byte)
        self._is_prompts = self._is_prompts and not text
        return text

    def finish(self) -> str:
        if self._is_prompts:
            self._decoder.reset()
            self._is_prompts = False
        return self._decoder.decode(b"", final=True)

    @property
    def is_holding(self) -> bool:
        return bool(self._held)

    def peek(self, token_id: int) -> tuple[bytes, int]:
        raw = self._bytes_of(token_id)
        held = self._held
        breaks = bool(raw and held and not self._is_prompts) and not _continues(held, raw[:1])
        return raw, int(breaks)

    @property
    def _held(self) -> bytes:
        return self._decoder.getstate()[0]

    def _bytes_of(self, token_id: int) -> bytes:
        if self._first_bytes is not None:
            return self._first_bytes(token_id)
        return self._token_bytes[token_id]


class WindowDetokenizer:
    """A detokenizer for tokenizers whose tokens have no text of their own.

    Args:
        decode: ids to text, without special tokens.
        prompt: ids that the text continues.
        has_text: whether a token can give context: special ones do not.
    """

    def __init__(
        self,
        decode: Decode,
        *,
        prompt: Sequence[int] = (),
        has_text: Callable[[int], bool] = lambda _token_id: True,
    ) -> None:
        self._decode = decode
        self._has_text = has_text
        context = list(islice(filter(has_text, reversed(prompt)), CONTEXT_TOKENS))
        self._window: list[int] = context[::-1]
        self._num_sent = len(context)  # tokens at the start whose text was sent; they give context
        self._is_holding = False

    def feed(self, token_ids: Sequence[int]) -> str:
        return "".join([self._feed_one(token_id) for token_id in token_ids])

    def _feed_one(self, token_id: int) -> str:
        if not self._has_text(token_id):
            return ""
        self._window.append(token_id)
        text = self._unsent()
        num_held = len(self._window) - self._num_sent
        if text.endswith(REPLACEMENT) and num_held < MAX_HELD_TOKENS:
            self._is_holding = True
            return ""
        self._is_holding = False
        if text or self._num_sent >= CONTEXT_TOKENS:  # a token without text is no context alone
            del self._window[: self._num_sent]
        self._num_sent = len(self._window)
        return text

    def finish(self) -> str:
        text = self._unsent() if len(self._window) > self._num_sent else ""
        self._num_sent = len(self._window)
        self._is_holding = False
        return text

    @property
    def is_holding(self) -> bool:
        return self._is_holding

    def peek(self, token_id: int) -> tuple[bytes, int]:
        before = self._decode(self._window) if self._window else ""
        after = self._decode([*self._window, token_id])
        text = after[len(before) :] if after.startswith(before) else self._decode([token_id])
        return text.encode(), 0

    def _unsent(self) -> str:
        sent = self._decode(self._window[: self._num_sent]) if self._num_sent else ""
        text = self._decode(self._window)
        if not text.startswith(sent):  # a character that the context left unfinished is whole now
            sent = sent.rstrip(REPLACEMENT)
        return text[len(sent) :]


def _unfinished(tail: bytes) -> bytes:
    """The bytes at the end that begin a character and do not finish it.

    Args:
        tail: up to three bytes; no more can be unfinished.
    """
    for at in range(len(tail)):
        if _continues(b"", tail[at:]) and not _is_whole(tail[at:]):
            return tail[at:]
    return b""


def _continues(held: bytes, more: bytes) -> bool:
    """Whether these bytes go on with a character as UTF-8 allows it."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(held + more)
    except UnicodeDecodeError:
        return False
    return True


def _is_whole(raw: bytes) -> bool:
    """Whether no byte at the end waits for others. Of bytes that are no broken UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    decoder.decode(raw)
    return not decoder.getstate()[0]
