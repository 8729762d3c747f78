"""Texts that may not come, as the token ids that spell them."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def bad_word_ids(
    words: Sequence[str], encode: Callable[[str], list[int]]
) -> tuple[tuple[int, ...], ...]:
    """Token ids of each word, at the start of a text and behind a space, as vLLM has them.

    A word that tokens spell in a third way is not kept out: the rule is about tokens.

    Args:
        encode: a text to ids, without special tokens around it.
    """
    spelt: dict[tuple[int, ...], None] = {}
    for word in words:
        bare = word.lstrip() or word
        for text in (bare, f" {bare}"):
            if ids := tuple(encode(text)):
                spelt[ids] = None
    return tuple(spelt)
