"""The model's tokenizer, from its folder: text to ids, ids to text. The home of `tokenizers`.

Reads tokenizer.json and tokenizer_config.json alone; no model code and no network. How ids become
text piece by piece is in detokenize.py, what a token is in bytes in token_bytes.py.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers

from serve.errors import InvalidRequest, StartupError
from serve.pipeline import token_bytes
from serve.pipeline.detokenize import ByteDetokenizer, Detokenizer, WindowDetokenizer
from serve.pipeline.guard import ControlGuard, encode_plainly, spans_of
from serve.pipeline.panics import NO_PANIC
from serve.pipeline.token_bytes import TokenBytes

log = logging.getLogger(__name__)

MAX_TOKEN_ID = 2**32 - 1
"""Ids are u32 to `tokenizers`, which raises on any other."""


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
        self._added_names = {token.content: i for i, token in added.items()}
        self._guard = ControlGuard(tokenizer)
        parts = token_bytes.decoder_parts(json.loads(tokenizer.to_str()).get("decoder"))
        self._byte_of = _char_to_byte() if token_bytes.is_byte_level(parts) else {}
        self._has_byte_fallback = token_bytes.has_byte_fallback(parts)
        self._anchor: list[int] = []
        if not self._byte_of:
            self._anchor = token_bytes.anchor(tokenizer.token_to_id, self.decode)
        self._added_names = {
            token.content: i for i, token in added.items() if token.content.strip()
        }
        self._special_names = {added[i].content: i for i in self._special_ids}
        self._has_local_bytes = bool(self._anchor) and token_bytes.is_local(parts)
        self._token_bytes = TokenBytes(self._bytes_of)
        self._shown_bytes = TokenBytes(self._bytes_shown)
        if self._byte_of:  # cheap, and so no request waits for it
            for token_id in tokenizer.get_vocab(with_added_tokens=True).values():
                self._token_bytes[token_id] = self._bytes_of(token_id)

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
            tokenizer.no_truncation()  # left from training: prompts would be cut in silence
            tokenizer.no_padding()
            config_file = folder / "tokenizer_config.json"
            config = json.loads(config_file.read_text("utf-8")) if config_file.is_file() else {}
        except Exception as error:  # noqa: BLE001 - `tokenizers` raises bare Exception
            raise StartupError(f"{folder.name}: the tokenizer cannot be read: {error}") from None
        size = tokenizer.get_vocab_size()
        if vocab_size is not None and size > vocab_size:
            log.warning(
                "the tokenizer has tokens that the model has not: a prompt with one is refused",
                extra={"model": folder.name, "count": size - vocab_size},
            )
        return cls(tokenizer, config, vocab_size or size)

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of a text; names of special tokens in it count as these tokens.

        Args:
            add_special_tokens: put the tokenizer's own BOS/EOS around it, where it has them.
        """
        return encode_plainly(self._tokenizer, text, add_special_tokens=add_special_tokens)

    @property
    def begin_ids(self) -> list[int]:
        """Ids that the tokenizer puts before a text of its own accord; most often a BOS."""
        plain = self.encode("a", add_special_tokens=False)
        whole = self.encode("a", add_special_tokens=True)
        at = next((at for at in range(len(whole)) if whole[at:][: len(plain)] == plain), 0)
        return whole[:at]

    def encode_rendered(self, text: str, owner: str | None = None) -> list[int]:
        """Token ids of a rendered chat, in which a client's text is plain whatever it spells.

        Args:
            owner: see ``ControlGuard.encode``.

        Raises:
            InvalidRequest: the tokenizer cannot tell it from control tokens.
        """
        return self._guard.encode(text, owner)

    @property
    def num_chars_rendered(self) -> int:
        """Characters of rendered chats that were tokenised so far; known spans are not."""
        return self._guard.num_chars

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out; broken bytes become U+FFFD.

        Ids of no token have no text, whatever they are.
        """
        return _decode(self._tokenizer, token_ids, skip_special_tokens=True)

    def decode_raw(self, token_ids: Sequence[int]) -> str:
        """Text of token ids, special tokens shown."""
        return _decode(self._tokenizer, token_ids, skip_special_tokens=False)

    def offsets(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The place of each token of ``encode`` in the text: characters before it.

        What no token holds, such as white space that a normaliser takes away, is the next one's.
        """
        end = 0
        places: list[int] = []
        for first, last in spans_of(self._tokenizer, text, add_special_tokens=add_special_tokens):
            places.append(min(first, end) if last else end)
            end = max(end, last)
        return places

    def detokenizer(
        self, prompt: Sequence[int] = (), *, shows_special: bool = False
    ) -> Detokenizer:
        """A fresh incremental detokenizer for one choice.

        Args:
            prompt: ids that its text continues; none where it is a text of its own, such as the
                answer in a chat.
            shows_special: special tokens are text, by their names.
        """
        has_text = self._is_token if shows_special else self._has_text
        token_bytes = self._shown_bytes if shows_special else self._token_bytes
        if self._byte_of:
            return ByteDetokenizer(token_bytes, prompt=prompt)
        if self._has_local_bytes:
            return ByteDetokenizer(
                token_bytes,
                first_bytes=self._first_bytes_of if not shows_special else self._first_shown_of,
                has_text=has_text,
                prompt=prompt,
            )
        decode = self.decode_raw if shows_special else self.decode
        return WindowDetokenizer(decode, prompt=prompt, has_text=has_text)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token inside a text. Special ones and ids of no token have none."""
        return self._token_bytes[token_id]

    def token_text(self, token_id: int) -> str:
        """One token as people read it: a special one by its name, broken bytes as U+FFFD."""
        if token_id in self._special_ids:
            return self._token_of(token_id) or ""
        return self._token_bytes[token_id].decode("utf-8", "replace")

    def token_id(self, name: str) -> int | None:
        """The id of the added token of that name; None where there is none."""
        return self._added_names.get(name)

    @property
    def added_ids(self) -> Mapping[str, int]:
        """Ids of all added tokens by their names, but for runs of white space."""
        return self._added_names

    @property
    def special_ids(self) -> Mapping[str, int]:
        """Ids of the special tokens by their names: what an answer's text leaves out."""
        return self._special_names

    def check_ids(self, token_ids: Sequence[int], *, param: str) -> None:
        """Raises InvalidRequest where an id is not in the model's vocabulary."""
        for token_id in token_ids:
            if not 0 <= token_id < self.vocab_size:
                raise InvalidRequest(
                    f"Token id {token_id} is not in the vocabulary: ids run from 0 to "
                    f"{self.vocab_size - 1}.",
                    param=param,
                )

    def _token_of(self, token_id: int) -> str | None:
        is_possible = 0 <= token_id <= MAX_TOKEN_ID
        return self._tokenizer.id_to_token(token_id) if is_possible else None

    def _has_text(self, token_id: int) -> bool:
        return token_id not in self._special_ids and self._token_of(token_id) is not None

    def _is_token(self, token_id: int) -> bool:
        return self._token_of(token_id) is not None

    def _bytes_shown(self, token_id: int) -> bytes:
        """The bytes of a token where special ones are shown."""
        if token_id in self._special_ids:
            return (self._token_of(token_id) or "").encode()
        return self._token_bytes[token_id]

    def _first_shown_of(self, token_id: int) -> bytes:
        if token_id in self._special_ids:
            return self._bytes_shown(token_id)
        return self._first_bytes_of(token_id)

    def _bytes_of(self, token_id: int) -> bytes:
        token = self._token_of(token_id)
        if token is None or token_id in self._special_ids:
            return b""
        if self._byte_of:
            return token_bytes.byte_level_bytes(token, self._byte_of)
        byte = token_bytes.fallback_byte(token) if self._has_byte_fallback else None
        return token_bytes.behind(self._anchor, token_id, self.decode) if byte is None else byte

    def _first_bytes_of(self, token_id: int) -> bytes:
        """The bytes of a token that no text stands before: a space may be left out there."""
        inside = self._token_bytes[token_id]
        is_part = inside[:1] >= b"\x80" and self._has_byte_fallback  # of a character: no space
        if is_part and token_bytes.fallback_byte(self._token_of(token_id) or ""):
            return inside
        return self.decode([token_id]).encode()


def _decode(tokenizer: Tokenizer, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
    """Text of ids. A step of a tokenizer's own decoder that fails on a token leaves it out."""
    decode = partial(tokenizer.decode, skip_special_tokens=skip_special_tokens)
    try:
        return decode(list(token_ids))
    except BaseException as error:  # a panic of `tokenizers` is no Exception
        if not _is_decoders(error):
            raise
    if len(token_ids) == 1:
        return ""
    return "".join(
        [_decode(tokenizer, [i], skip_special_tokens=skip_special_tokens) for i in token_ids]
    )


def _is_decoders(error: BaseException) -> bool:
    """Whether an error is of the decoding itself: an id that is no u32, a bare one, or a panic."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _char_to_byte() -> dict[str, int]:
    """GPT-2's byte alphabet: printable Latin-1 stands for itself, the rest moves to U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    moved = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    table |= {chr(256 + offset): byte for offset, byte in enumerate(moved)}
    if set(table) != set(pre_tokenizers.ByteLevel.alphabet()):
        raise StartupError("the byte alphabet of the installed tokenizers library is not GPT-2's")
    return table
