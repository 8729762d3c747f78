"""What a tokenizer's decoder tells of its tokens: bytes of their own, or neighbours decide."""

from __future__ import annotations

from typing import Any

import pytest

from serve.pipeline import token_bytes
from serve.pipeline.token_bytes import TokenBytes
from tests.serve.pipeline.conftest import sentencepiece_tokenizer

BYTE_LEVEL = {"type": "ByteLevel"}
REPLACE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
FALLBACK, FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}


def strip(start: int, stop: int = 0, content: str = " ") -> dict[str, Any]:
    return {"type": "Strip", "content": content, "start": start, "stop": stop}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "decoders": list(steps)}


@pytest.mark.parametrize(
    ("decoder", "is_byte_level", "is_local"),
    [
        (None, False, False),
        ({}, False, False),
        (BYTE_LEVEL, True, False),
        (sequence(BYTE_LEVEL), True, False),
        (sequence(REPLACE, FALLBACK, FUSE), False, True),
        (sequence(REPLACE, FALLBACK, FUSE, strip(1)), False, True),
        (sequence(REPLACE, FALLBACK, FUSE, strip(2)), False, False),
        (sequence(REPLACE, FALLBACK, FUSE, strip(1, 1)), False, False),
        (sequence(REPLACE, FUSE, strip(1, content="x")), False, False),
        (sequence(FUSE, REPLACE), False, False),
        (sequence(BYTE_LEVEL, FUSE), False, False),
        ({"type": "Metaspace"}, False, True),
        ({"type": "WordPiece"}, False, True),
        ({"type": "BPEDecoder"}, False, False),
        ({"type": "CTC"}, False, False),
    ],
)
def test_the_decoder_tells(
    decoder: dict[str, Any] | None, is_byte_level: bool, is_local: bool
) -> None:
    parts = token_bytes.decoder_parts(decoder)
    assert (token_bytes.is_byte_level(parts), token_bytes.is_local(parts)) == (
        is_byte_level,
        is_local,
    )


@pytest.mark.parametrize(
    ("token", "byte"),
    [("<0x0A>", b"\n"), ("<0xe4>", b"\xe4"), ("<0x0>", None), ("a<0x0A>", None), ("", None)],
)
def test_byte_tokens(token: str, byte: bytes | None) -> None:
    assert token_bytes.fallback_byte(token) == byte


def test_bytes_are_found_once() -> None:
    asked: list[int] = []

    def bytes_of(token_id: int) -> bytes:
        asked.append(token_id)
        return b"x"

    table = TokenBytes(bytes_of)
    assert [table[1], table[1], table[2]] == [b"x"] * 3
    assert asked == [1, 2]


def test_a_vocabulary_without_a_plain_token_has_no_anchor() -> None:
    tokenizer = sentencepiece_tokenizer()
    assert token_bytes.anchor(tokenizer._tokenizer.token_to_id, tokenizer.decode)
    assert token_bytes.anchor(lambda _: None, tokenizer.decode) == []
