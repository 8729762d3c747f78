"""The texts around the answers of each kind of prompt."""

from __future__ import annotations

import pytest

from serve.engine.protocol import SamplingParams
from serve.governance.around import Around, around, candidates_of
from serve.pipeline.events import (
    ChatPrompt,
    FillPrompt,
    Generation,
    Prompt,
    TextPrompt,
    TokensPrompt,
)

BEGUN = {"role": "assistant", "content": "so"}
IN_PARTS = {"role": "assistant", "content": [{"type": "text", "text": "s"}, "o"]}


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (TextPrompt("so"), Around("so")),
        (FillPrompt("so", "far"), Around("so", "far")),
        (TokensPrompt((1, 2)), Around()),
        (ChatPrompt(messages=(BEGUN,)), Around()),
        (ChatPrompt(messages=(BEGUN,), continues_last=True), Around("so")),
        (ChatPrompt(messages=(IN_PARTS,), continues_last=True), Around("so")),
        (ChatPrompt(messages=({"role": "assistant"},), continues_last=True), Around()),
    ],
)
def test_a_prompt_s_texts(prompt: Prompt, expected: Around) -> None:
    assert around(prompt) == expected


def test_all_candidates_of_a_prompt_count() -> None:
    asked = Generation(prompts=(TextPrompt("x"),), sampling=SamplingParams(max_tokens=1), n=2)
    assert candidates_of(asked) == 2
