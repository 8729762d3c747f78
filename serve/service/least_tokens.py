"""The least that a request's prompts may come to in tokens, before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from serve.pipeline.events import ChatPrompt, FillPrompt, Generation, Prompt, TextPrompt
from serve.service.asked import MOST_COMPLETION_TOKENS

CHARS_A_TOKEN: Final = 16
"""Prose has four to five, and code three; only runs of blanks or of one sign have so many."""


def least_tokens(generation: Generation) -> int:
    """An estimate that takes no tokenizer: prompts by their characters, and the answer asked for.

    A template's own words, tools and pictures count as nothing, and so does an answer without a
    bound, which the context may cut short.
    """
    num_choices = len(generation.prompts) * (generation.best_of or generation.n)
    most = generation.sampling.max_tokens
    answer = most if most <= MOST_COMPLETION_TOKENS else 0
    return sum(_of_prompt(prompt) for prompt in generation.prompts) + num_choices * answer


def _of_prompt(prompt: Prompt) -> int:
    if isinstance(prompt, TextPrompt):
        return len(prompt.text) // CHARS_A_TOKEN
    if isinstance(prompt, FillPrompt):
        return (len(prompt.prefix) + len(prompt.suffix)) // CHARS_A_TOKEN
    if isinstance(prompt, ChatPrompt):
        texts = (text for message in prompt.messages for text in _texts(message.get("content")))
        return sum(map(len, texts)) // CHARS_A_TOKEN
    return len(prompt.token_ids)


def _texts(content: Any) -> Iterable[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list | tuple):
        for part in content:
            if isinstance(part, dict) and isinstance(text := part.get("text"), str):
                yield text
