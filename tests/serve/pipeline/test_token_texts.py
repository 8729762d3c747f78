"""Tokens as clients see them: their texts, exact bytes, and the likeliest at their places."""

from __future__ import annotations

from typing import Any

from serve.engine.protocol import TokenLogprob
from serve.pipeline.token_texts import TokenTexts


class Tokenizer:
    """Token 1 is half of a character."""

    def token_text(self, token_id: int) -> str:
        return {0: "a", 1: "\ufffd"}[token_id]

    def token_bytes(self, token_id: int) -> bytes:
        return {0: b"a", 1: b"\xc3"}[token_id]


TOKENIZER: Any = Tokenizer()
TEXTS = TokenTexts(TOKENIZER)


def test_a_token_has_its_own_text_and_those_of_its_place():
    shown = TEXTS.of(TokenLogprob(1, -0.5, ((0, -0.25), (1, -0.5)), rank=2))
    assert (shown.text, shown.raw, shown.logprob, shown.token_id) == ("\ufffd", b"\xc3", -0.5, 1)
    assert [(one.text, one.logprob) for one in shown.top] == [("a", -0.25), ("\ufffd", -0.5)]
    assert shown.rank == 2
    assert all(one.top == () for one in shown.top)


def test_a_prompt_s_first_token_has_no_logprob():
    first = TEXTS.of_prompt(0, None)
    assert (first.text, first.logprob, first.top) == ("a", None, ())
    later = TokenLogprob(0, -1.0, ())
    assert TEXTS.of_prompt(0, later) == TEXTS.of(later)
