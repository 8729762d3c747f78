"""Grammars compiled from the text that ``serialised`` made of them, in another process.

For an engine whose scheduler holds sequences to their grammars in a process of its own, and takes
tokens back: it gets llguidance's own matcher. What there is to say of a grammar was said before.
"""

from __future__ import annotations

from typing import TypeAlias

from llguidance import LLMatcher, LLTokenizer

from serve.engine.grammars import bounds, deep_stack
from serve.engine.grammars.refusal import GrammarRefused

Vocabulary: TypeAlias = LLTokenizer
TextMatcher: TypeAlias = LLMatcher

_SILENT = 0


def compiled(vocabulary: Vocabulary, text: str) -> TextMatcher:
    """A matcher at the beginning of the grammar's language. Without the interpreter's lock.

    Raises:
        GrammarRefused: it is no grammar, takes too much work, or no text is of its language.
    """
    return deep_stack.run(lambda: _compiled(vocabulary, text))


def _compiled(vocabulary: Vocabulary, text: str) -> TextMatcher:
    matcher = LLMatcher(vocabulary, text, log_level=_SILENT, limits=bounds.limits())
    if not matcher.is_error():
        matcher.compute_bitmask()
    if matcher.is_error():
        raise GrammarRefused("The grammar does not compile.")
    return matcher
