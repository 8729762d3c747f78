"""Completions hold the Dialect contract."""

from __future__ import annotations

from typing import ClassVar

import pytest

from serve.api.dialect import Dialect
from serve.api.openai.completions import DEFAULT_MAX_TOKENS, MAX_PROMPTS, Completions
from serve.errors import InvalidRequest
from serve.pipeline.events import FillPrompt, Prompt, TextPrompt, TokensPrompt
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


@pytest.mark.parametrize(("best_of", "n", "meant"), [(None, 2, None), (2, 2, None), (3, 2, 3)])
def test_best_of_is_said_where_it_is_more_than_n(
    best_of: int | None, n: int, meant: int | None
) -> None:
    body = {"model": "demo", "prompt": "a", "best_of": best_of, "n": n}
    assert Completions().parse(body).generation().best_of == meant


def test_a_stream_tells_all_it_makes() -> None:
    assert prompts_of("a", best_of=2, n=2, stream=True)
    with pytest.raises(InvalidRequest, match=r"best_of is 3 with n 2 and stream is true"):
        prompts_of("a", best_of=3, n=2, stream=True)


def test_special_tokens_may_be_left_out() -> None:
    assert prompts_of("a", add_special_tokens=True) == (TextPrompt("a"),)
    plain = (TextPrompt("a", add_special_tokens=False),)
    assert prompts_of("a", add_special_tokens=False) == plain


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a", (FillPrompt("a", "z"),)),
        (["a", ""], (FillPrompt("a", "z"), FillPrompt("", "z"))),
    ],
)
def test_a_suffix_makes_a_gap_of_each_prompt(prompt: object, expected: tuple[Prompt, ...]) -> None:
    assert prompts_of(prompt, suffix="z") == expected
    assert prompts_of("a", suffix="") == (TextPrompt("a"),)


def test_no_tokens_are_not_the_default_number() -> None:
    body = {"model": "demo", "prompt": "a", "max_tokens": 0, "echo": True}
    generation = Completions().parse(body).generation()
    assert (generation.sampling.max_tokens, generation.echoes) == (0, True)
