"""The model's tokenizer, from its folder: text to ids, ids to text. The home of `tokenizers`.

Reads tokenizer.json and tokenizer_config.json alone; no model code and no network.

Ids become text piece by piece, never cutting a character in two. There are two ways, and the
tokenizer's own decoder tells which:

- byte-level (GPT-2, Qwen, Llama 3, ...): each token is a byte string; an incremental UTF-8 decoder
  holds back an unfinished character. One table look-up per token.
- all others (SentencePiece and the like, where a token's text depends on its neighbours): decode a
  short window and send what is new. The idea of a window with two offsets is Hugging Face TGI's.

Whatever the pieces, the texts joined equal the decoding of all ids at once (property-tested).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from tokenizers import Tokenizer, pre_tokenizers

from serve.errors import InvalidRequest, StartupError
from serve.pipeline.panics import NO_PANIC

MARK = "\ufdd0"
"""A Unicode noncharacter, put into a special token's text where a client wrote it: see guard()."""


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
    """A detokenizer for byte-level tokenizers.

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
    """A detokenizer for tokenizers whose tokens have no text of their own.

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


class ModelTokenizer:
    """Tokenizer of one model.

    Args:
        tokenizer: as read from tokenizer.json.
        config: tokenizer_config.json.
        vocab_size: of the model, which may be larger than the tokenizer's.
    """

    def __init__(self, tokenizer: Tokenizer, config: dict[str, Any], vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self.config = config
        self.vocab_size = vocab_size
        added = tokenizer.get_added_tokens_decoder()
        self._special_ids = frozenset(i for i, token in added.items() if token.special)
        special = sorted((added[i].content for i in self._special_ids), key=len, reverse=True)
        self._special = _any_of(special)
        self._marked = _any_of([text[:1] + MARK + text[1:] for text in special])
        # A second copy that reads special tokens' text as plain text: never shared, never toggled.
        self._plain = Tokenizer.from_str(tokenizer.to_str())
        self._plain.encode_special_tokens = True
        self._token_bytes = self._byte_table() if _is_byte_level(tokenizer) else None

    @classmethod
    def load(cls, folder: Path, vocab_size: int | None = None) -> ModelTokenizer:
        """The tokenizer of a model folder.

        Raises:
            StartupError: tokenizer.json is missing or damaged.
        """
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise StartupError(
                f"{folder.name}: tokenizer.json is missing. Only that format is read; "
                "convert the model's tokenizer with transformers' save_pretrained."
            )
        try:
            with NO_PANIC:
                tokenizer = Tokenizer.from_file(str(file))
            config_file = folder / "tokenizer_config.json"
            config = json.loads(config_file.read_text("utf-8")) if config_file.is_file() else {}
        except Exception as error:  # noqa: BLE001 - `tokenizers` raises bare Exception
            raise StartupError(f"{folder.name}: the tokenizer cannot be read: {error}") from None
        return cls(tokenizer, config, vocab_size or tokenizer.get_vocab_size())

    def guard(self, text: str) -> str:
        """Text of a client, made unable to form a special token.

        A client's ``<|im_end|>`` would otherwise end its turn and open a system turn. A mark is put
        inside; encode() takes it out again and reads what is left as plain text.
        """
        return self._special.sub(lambda m: m[0][:1] + MARK + m[0][1:], text)

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of a text. Special tokens in it count as such, except guarded ones.

        Args:
            add_special_tokens: put the tokenizer's own BOS/EOS around it, where it has them.
        """
        if MARK not in text:
            return _encode(self._tokenizer, text, add_special_tokens=add_special_tokens)
        ids: list[int] = []
        end = 0
        for match in self._marked.finditer(text):
            ids += _encode(self._tokenizer, text[end : match.start()])
            ids += _encode(self._plain, match[0].replace(MARK, ""))
            end = match.end()
        return ids + _encode(self._tokenizer, text[end:])

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out; broken bytes become U+FFFD."""
        with NO_PANIC:
            return self._tokenizer.decode(list(token_ids), skip_special_tokens=True)

    def decode_raw(self, token_ids: Sequence[int]) -> str:
        """Text of token ids, special tokens shown."""
        with NO_PANIC:
            return self._tokenizer.decode(list(token_ids), skip_special_tokens=False)

    def detokenizer(self) -> Detokenizer:
        """A fresh incremental detokenizer for one choice."""
        if self._token_bytes is not None:
            return ByteDetokenizer(self._token_bytes)
        return WindowDetokenizer(self.decode)

    def token_bytes(self, token_id: int) -> bytes:
        """The exact bytes of one token where the tokenizer is byte-level, else its text's."""
        if token_id in self._special_ids:
            return (self._tokenizer.id_to_token(token_id) or "").encode()
        if self._token_bytes is not None:
            return self._token_bytes[token_id]
        return self.decode([token_id]).encode()

    def check_ids(self, token_ids: Sequence[int], *, param: str) -> None:
        """Raises InvalidRequest where an id is not in the model's vocabulary."""
        for token_id in token_ids:
            if not 0 <= token_id < self.vocab_size:
                raise InvalidRequest(
                    f"Token id {token_id} is not in the vocabulary: ids run from 0 to "
                    f"{self.vocab_size - 1}.",
                    param=param,
                )

    def _byte_table(self) -> list[bytes]:
        byte_of = {char: value for value, char in _byte_to_char().items()}
        table = [b""] * max(self.vocab_size, self._tokenizer.get_vocab_size())
        for token, token_id in self._tokenizer.get_vocab(with_added_tokens=True).items():
            if token_id in self._special_ids or token_id >= len(table):
                continue
            mapped = [byte_of.get(char) for char in token]
            if None in mapped:  # an added token with characters outside the byte alphabet
                table[token_id] = token.encode()
            else:
                table[token_id] = bytes(b for b in mapped if b is not None)
        return table


def _encode(tokenizer: Tokenizer, text: str, *, add_special_tokens: bool = False) -> list[int]:
    # A batch of one, because it lets go of the interpreter lock, and `encode` does not: 1 MB of
    # text held up everything else for 1.9 s, and for 9 ms this way.
    with NO_PANIC:
        return tokenizer.encode_batch_fast([text], add_special_tokens=add_special_tokens)[0].ids


def _any_of(texts: Sequence[str]) -> re.Pattern[str]:
    """Matches any of the texts, or nothing at all where there is none."""
    return re.compile("|".join(map(re.escape, texts)) or r"(?!)")


def _is_byte_level(tokenizer: Tokenizer) -> bool:
    decoder = json.loads(tokenizer.to_str()).get("decoder") or {}
    parts = decoder.get("decoders", [decoder])
    return bool(parts) and all(part.get("type") == "ByteLevel" for part in parts)


def _byte_to_char() -> dict[int, str]:
    """GPT-2's byte alphabet: printable Latin-1 stands for itself, the rest moves to U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    moved = [byte for byte in range(256) if byte not in printable]
    table = {byte: chr(byte) for byte in printable}
    table |= {byte: chr(256 + offset) for offset, byte in enumerate(moved)}
    if set(table.values()) != set(pre_tokenizers.ByteLevel.alphabet()):
        raise StartupError("the byte alphabet of the installed tokenizers library is not GPT-2's")
    return table
