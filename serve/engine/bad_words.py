"""``bad_words``: sequences of tokens of which none may be completed. For our own engines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def completing(generated: Sequence[int], bad_words: Iterable[Sequence[int]]) -> set[int]:
    """The tokens that would complete one of the words, of which the rest stands there.

    As in vLLM, what stands there is what was generated, not the prompt.

    Args:
        generated: all tokens after the prompt.
        bad_words: each of at least one token.
    """
    tokens = set()
    for word in bad_words:
        begin = list(word[:-1])
        if not begin or list(generated[-len(begin) :]) == begin:
            tokens.add(word[-1])
    return tokens
