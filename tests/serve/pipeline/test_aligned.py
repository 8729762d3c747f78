"""Tokens wait for the character that they are a part of, and for nothing else."""

from __future__ import annotations

from serve.pipeline.aligned import AlignedTokens
from serve.pipeline.events import TokenText
from tests.serve.pipeline.conftest import byte_level_tokenizer

TOKENIZER = byte_level_tokenizer()


def token(token_id: int) -> TokenText:
    raw = TOKENIZER.token_bytes(token_id)
    return TokenText(text=TOKENIZER.token_text(token_id), raw=raw, logprob=0.0, token_id=token_id)


def feed(aligned: AlignedTokens, token_id: int) -> tuple[str, list[int]]:
    text, tokens = aligned.feed(token_id, token(token_id))
    return text, [told.offset for told in tokens]


def test_parts_of_a_character_wait_for_the_last_of_them() -> None:
    aligned = AlignedTokens(TOKENIZER.detokenizer())
    *parts, last = TOKENIZER.encode("🦙", add_special_tokens=False)
    special = TOKENIZER.special_ids["<|im_end|>"]
    assert feed(aligned, special) == ("", [0])
    for part in parts:
        assert feed(aligned, part) == ("", [])
    assert feed(aligned, special) == ("", []), "it stays behind what it follows"
    assert feed(aligned, last) == ("🦙", [0] * (len(parts) + 2))
    assert feed(aligned, special) == ("", [1])


def test_what_waits_at_the_end_comes_with_the_rest() -> None:
    aligned = AlignedTokens(TOKENIZER.detokenizer())
    part = TOKENIZER.encode("🦙", add_special_tokens=False)[0]
    assert feed(aligned, part) == ("", [])
    text, tokens = aligned.finish()
    assert (text, [told.token_id for told in tokens]) == ("\ufffd", [part])
