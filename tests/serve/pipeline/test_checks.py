"""What no engine could run is refused before anything is held, by the names of both fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serve.engine.fake import FakeEngine
from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import SamplingParams
from serve.engine.settings import EngineSettings
from serve.errors import ContextLengthExceeded, InvalidRequest, UnsupportedField
from serve.pipeline.checks import check_generation
from serve.pipeline.events import (
    UNBOUNDED_TOKENS,
    FillPrompt,
    Generation,
    TextPrompt,
    TokensPrompt,
)

INFO = FakeEngine(EngineSettings(max_model_len=64)).info
JSON: dict[str, Any] = {
    "format": Grammar(kind="json_schema", text="{}"),
    "format_param": "response_format",
}


def generation_of(**given: Any) -> Generation:
    names = SamplingParams.__dataclass_fields__.keys() - Generation.__dataclass_fields__.keys()
    sampling = {name: value for name, value in given.items() if name in names}
    rest = {name: value for name, value in given.items() if name not in names}
    return Generation(
        **{
            "prompts": (TextPrompt("a"),),
            "sampling": SamplingParams(**{"max_tokens": 8, **sampling}),
            **rest,
        }
    )


@pytest.mark.parametrize(
    ("given", "words", "param"),
    [
        ({"min_tokens": 9}, ("min_tokens is 9", "max_tokens is 8"), "min_tokens"),
        ({"max_tokens": 0}, ("max_tokens is 0", "echo", "prompt_logprobs"), "max_tokens"),
        ({"n": 3, "best_of": 2}, ("best_of is 2", "n is 3"), "best_of"),
        ({"ignore_eos": True, **JSON}, ("ignore_eos", "response_format"), "ignore_eos"),
        (
            {"allowed_token_ids": frozenset({1}), **JSON},
            ("allowed_token_ids", "response_format"),
            "allowed_token_ids",
        ),
        ({"echoes": True, "prompts": (FillPrompt("a", "b"),)}, ("echo", "suffix"), "echo"),
        ({"truncates_to": 65}, ("is 65", "context is 64"), "truncate_prompt_tokens"),
        ({"n": 128, "prompts": (TextPrompt("a"),) * 129}, ("16512: at most 16384",), "n"),
        (
            {"n": 128, "prompts": (TokensPrompt((1,)),) * 128, "max_tokens": UNBOUNDED_TOKENS},
            None,
            None,
        ),
        ({"max_tokens": 0, "echoes": True}, None, None),
        ({"max_tokens": 0, "num_prompt_logprobs": 0}, None, None),
        ({"min_tokens": 8, "max_tokens": 8}, None, None),
        ({"n": 3, "best_of": 3}, None, None),
        ({"truncates_to": UNBOUNDED_TOKENS, "prompts": (TokensPrompt((1,) * 99),)}, None, None),
    ],
)
def test_contradictions_name_both(
    given: dict[str, Any], words: tuple[str, ...] | None, param: str | None
) -> None:
    generation = generation_of(**given)
    if words is None:
        check_generation(INFO, generation)
        return
    with pytest.raises(InvalidRequest) as refused:
        check_generation(INFO, generation)
    assert refused.value.param == param
    assert all(word in refused.value.message for word in words), refused.value.message


def test_a_long_prompt_of_ids_is_too_long_by_itself() -> None:
    many = tuple(TokensPrompt((1,) * 63) for _ in range(2048))
    check_generation(INFO, generation_of(prompts=many))
    with pytest.raises(ContextLengthExceeded, match="65 tokens"):
        check_generation(INFO, generation_of(prompts=(*many, TokensPrompt((1,) * 65))))


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"echoes": True, "num_logprobs": 0}, "echo"),
        ({"num_prompt_logprobs": 0}, "prompt_logprobs"),
        ({"bad_words": ("x",)}, "bad_words"),
        ({"min_tokens": 1}, "min_tokens"),
        ({"allowed_token_ids": frozenset({1})}, "allowed_token_ids"),
        ({"best_of": 2}, "best_of"),
    ],
)
def test_what_the_engine_lacks_is_told_by_the_field(given: dict[str, Any], param: str) -> None:
    has_logprobs = frozenset({"logprobs"} if "num_logprobs" in given else ())
    bare = replace(INFO, capabilities=has_logprobs)  # type: ignore[arg-type]
    check_generation(INFO, generation_of(**given))
    with pytest.raises(UnsupportedField) as refused:
        check_generation(bare, generation_of(**given))
    assert refused.value.param == param
