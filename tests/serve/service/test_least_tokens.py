"""The estimate before rendering: never above what it turns out to be, for all that people write."""

from __future__ import annotations

import pytest

from serve.engine.protocol import SamplingParams
from serve.pipeline.events import (
    UNBOUNDED_TOKENS,
    ChatPrompt,
    FillPrompt,
    Generation,
    Prompt,
    TextPrompt,
    TokensPrompt,
)
from serve.service.least_tokens import least_tokens
from tests.serve.api.house import TOKENIZER


def of(*prompts: Prompt, max_tokens: int = UNBOUNDED_TOKENS, **fields: int) -> int:
    generation = Generation(
        prompts=prompts, sampling=SamplingParams(max_tokens=max_tokens), **fields
    )
    return least_tokens(generation)


@pytest.mark.parametrize("text", ["The audit log is in the state directory.", "def f(x):\n    y"])
def test_it_is_at_most_the_tokens_of_the_prompt(text: str) -> None:
    text *= 100
    num_tokens = len(TOKENIZER.encode(text, add_special_tokens=False))
    messages = ({"role": "user", "content": [{"type": "text", "text": text}]},)
    for prompt in (
        TextPrompt(text),
        FillPrompt(text, ""),
        ChatPrompt(messages=messages),
        ChatPrompt(messages=({"role": "user", "content": text},)),
    ):
        assert len(text) // 16 == of(prompt) <= num_tokens


def test_ids_are_counted_and_so_is_the_answer_that_was_asked_for() -> None:
    assert of(TokensPrompt((1, 2, 3)), TokensPrompt((4,))) == 4
    assert of(TokensPrompt((1, 2, 3)), max_tokens=10, n=2) == 23
    assert of(TokensPrompt((1, 2, 3)), max_tokens=10, n=1, best_of=4) == 43
    assert of(TokensPrompt((1, 2, 3)), max_tokens=100_000) == 3  # the context may cut it short


def test_what_has_no_text_is_nothing() -> None:
    messages = ({"role": "assistant", "content": None}, {"role": "user", "content": [{"x": 1}]})
    assert of(ChatPrompt(messages=messages)) == 0
