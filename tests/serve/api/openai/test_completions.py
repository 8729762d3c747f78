"""Completions hold the Dialect contract."""

from __future__ import annotations

from typing import ClassVar

import pytest

from serve.api.dialect import Dialect
from serve.api.openai.completions import DEFAULT_MAX_TOKENS, MAX_PROMPTS, Completions
from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.events import Prompt, TextPrompt, TokensPrompt
from tests.contracts.dialect import DialectContract
from tests.serve.api.house import error_code_of, events_of


class TestCompletions(DialectContract):
    dialect: Dialect = Completions()
    body: ClassVar = {"model": "demo", "prompt": "The audit log", "max_tokens": 64}

    def content_of(self, raw: bytes) -> str:
        events = events_of(raw.decode())
        assert events[-1] == "[DONE]"
        return "".join(c["text"] for event in events[:-1] for c in event["choices"])

    def error_of(self, raw: bytes) -> str:
        return error_code_of(raw)


def prompts_of(prompt: object, **fields: object) -> tuple[Prompt, ...]:
    return Completions().parse({"model": "demo", "prompt": prompt, **fields}).generation().prompts


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a", (TextPrompt("a"),)),
        (["a", "b"], (TextPrompt("a"), TextPrompt("b"))),
        ([1, 2], (TokensPrompt((1, 2)),)),
        ([[1], [2, 3]], (TokensPrompt((1,)), TokensPrompt((2, 3)))),
    ],
)
def test_the_four_shapes_of_a_prompt(prompt: object, expected: tuple[Prompt, ...]) -> None:
    assert prompts_of(prompt) == expected


@pytest.mark.parametrize("prompt", [None, {}, [], 1, [1, "a"], ["a", [1]], [[1, "a"]], [True]])
def test_any_other_shape_is_refused(prompt: object) -> None:
    with pytest.raises(InvalidRequest, match="prompt must be a string") as refused:
        prompts_of(prompt)
    assert refused.value.param == "prompt"


@pytest.mark.parametrize("prompt", ["", ["a", ""], [[1], []]])
def test_an_empty_prompt_is_refused(prompt: object) -> None:
    with pytest.raises(InvalidRequest, match="A prompt is empty"):
        prompts_of(prompt)


def test_too_many_prompts_are_refused_with_both_numbers() -> None:
    assert len(prompts_of(["a"] * MAX_PROMPTS)) == MAX_PROMPTS
    with pytest.raises(InvalidRequest, match=f"has {MAX_PROMPTS + 1} prompts: at most"):
        prompts_of(["a"] * (MAX_PROMPTS + 1))


def test_the_bound_is_openais_own_where_none_is_given() -> None:
    body = {"model": "demo", "prompt": "a"}
    assert Completions().parse(body).generation().sampling.max_tokens == DEFAULT_MAX_TOKENS


def test_best_of_must_be_n() -> None:
    assert prompts_of("a", best_of=2, n=2)
    with pytest.raises(InvalidRequest, match="best_of is 3 and n is 2"):
        prompts_of("a", best_of=3, n=2)


def test_special_tokens_cannot_be_left_out() -> None:
    assert prompts_of("a", add_special_tokens=True)
    with pytest.raises(UnsupportedField):
        prompts_of("a", add_special_tokens=False)
