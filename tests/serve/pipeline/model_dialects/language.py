"""Whether a text is of a grammar: llguidance over the bytes of a text and a few tokens."""

from __future__ import annotations

from functools import cache

from llguidance import LLMatcher, LLTokenizer
from tokenizers import AddedToken, Tokenizer

from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.serialised import serialised
from tests.serve.pipeline.conftest import byte_level_tokenizer

NAMES = ("<s>", "<call>", "<end>")
TOKENIZER = Tokenizer.from_str(byte_level_tokenizer()._tokenizer.to_str())
TOKENIZER.add_tokens([AddedToken(name, special=True, normalized=False) for name in NAMES])
TOKENS = {token.content: i for i, token in TOKENIZER.get_added_tokens_decoder().items()}


@cache
def _vocabulary() -> LLTokenizer:
    return LLTokenizer(TOKENIZER.to_str(), eos_token=TOKENS["<s>"])


def is_of(grammar: Grammar, text: str) -> bool:
    """Whether a whole text, in which names of the tokens are tokens, is of a grammar."""
    matcher = LLMatcher(_vocabulary(), serialised(grammar), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    ids = TOKENIZER.encode(text, add_special_tokens=False).ids
    return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())
