"""A name changes with all that an answer depends on: every field, or it is listed as changing none.

A field that is added to a request fails here until somebody says two values of it.
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import SamplingParams
from serve.governance.screening import Screened
from serve.pipeline.events import (
    CallableTool,
    ChatPrompt,
    FillPrompt,
    GenerateRequest,
    Generation,
    ReasoningUse,
    TextPrompt,
    TokensPrompt,
    ToolUse,
)
from serve.service.directory import Directory, Served, Weights
from serve.service.response_cache.names import UNNAMED, AnswerNames, is_repeatable
from tests.serve.api.house import pipeline_of

TODAY = date(2026, 11, 29)
NAMES = AnswerNames()
CHOICE = Grammar(kind="choice", choices=("a",))
SCHEMA = Grammar(kind="json_schema", text="{}")
TOOL = CallableTool(name="f")
BASES: list[Any] = [
    Generation(prompts=(TextPrompt("p"),), sampling=SamplingParams(max_tokens=1, temperature=0)),
    SamplingParams(max_tokens=1),
    ChatPrompt(messages=({"role": "user", "content": "hi"},)),
    TextPrompt("p"),
    FillPrompt("a", "b"),
    TokensPrompt((1, 2)),
    TOOL,
    ToolUse(tools=(TOOL,)),
    ReasoningUse(),
    SCHEMA,
]
OTHERS: dict[type, dict[str, Any]] = {
    Generation: {
        "prompts": (TextPrompt("q"),), "n": 2, "sampling": SamplingParams(max_tokens=2),
        "stop": ("x",), "cache_salt": "s", "format": CHOICE, "tool_use": ToolUse(tools=(TOOL,)),
        "forbids_calls": True, "reasoning": ReasoningUse(is_shown=False), "bad_words": ("x",),
        "best_of": 3, "echoes": True, "keeps_stop": True, "shows_special": True,
        "wants_token_ids": True, "explains_cache": True, "truncates_to": 5, "truncates_end": True,
        "shows_token_ids": True, "given": frozenset({"top_p"}), "preset": "qa",
    },
    SamplingParams: {
        "max_tokens": 2, "temperature": 0.5, "top_p": 0.5, "top_k": 1, "min_p": 0.5, "seed": 1,
        "presence_penalty": 1.0, "frequency_penalty": 1.0, "repetition_penalty": 1.5,
        "logit_bias": {1: 2.0}, "num_logprobs": 1, "stop_token_ids": frozenset({1}),
        "ignore_eos": True, "num_prompt_logprobs": 1, "min_tokens": 1,
        "allowed_token_ids": frozenset({1}), "bad_words": ((1,),), "grammar": CHOICE,
    },
    ChatPrompt: {
        "messages": ({"role": "user", "content": "ho"},), "tools": ({"type": "function"},),
        "options": {"a": 1}, "opens_answer": False, "continues_last": True,
    },
    TextPrompt: {"text": "q", "add_special_tokens": False},
    FillPrompt: {"prefix": "b", "suffix": "a"},
    TokensPrompt: {"token_ids": (1, 3)},
    CallableTool: {"name": "g", "parameters": {}, "is_strict": True},
    ToolUse: {"tools": (TOOL, TOOL), "is_required": True, "is_parallel": False},
    ReasoningUse: {"is_shown": False, "max_tokens": 1},
    Grammar: {
        "kind": "regex", "text": "[]", "choices": None, "parts": None, "is_compact": True,
        "whitespace": " ", "is_closed": True,
    },
}  # fmt: skip
"""Another value than the base's for each field; None where the type allows none beside it."""


def served(**changed: Any) -> Served:
    directory = Directory(("demo",), ("wise",), created=0)
    directory.publish(PIPELINE, Weights(digest="d"))
    return replace(directory.find("demo"), **changed)


PIPELINE = pipeline_of()
SERVED = served()


def name_of(part: Any, names: AnswerNames = NAMES) -> bytes:
    """The name of a request that has this part somewhere."""
    screened = Screened(generation=part)
    return names.of("t", SERVED, screened, TODAY)


@pytest.mark.parametrize("base", BASES, ids=lambda base: type(base).__name__)
def test_every_field_of_a_request_is_in_its_name_or_is_listed(base: Any) -> None:
    others = OTHERS[type(base)]
    assert {field.name for field in fields(base)} - UNNAMED == others.keys()
    for field, other in others.items():
        if other is not None:
            assert name_of(replace(base, **{field: other})) != name_of(base), field
    for field in UNNAMED & {field.name for field in fields(base)}:
        assert name_of(replace(base, **{field: "other"})) == name_of(base)


def test_nothing_of_a_request_is_named_otherwise() -> None:
    """What runs has more fields than what is named: each is in the name by itself, or is no part
    of an answer.
    """
    own = {field.name for field in fields(GenerateRequest)} - {f.name for f in fields(Generation)}
    assert own == {"request_id", "tenant", "adapter", "stages", "timeline"}
    assert {field.name for field in fields(Screened)} == {
        *("generation", "stages", "last_stages", "rules", "check", "recorded"),
    }


def test_a_name_is_of_one_tenant_weights_adapter_rules_settings_and_day() -> None:
    base = BASES[0]
    screened = Screened(generation=base)
    others = {
        "tenant": NAMES.of("u", SERVED, screened, TODAY),
        "digest": NAMES.of("t", served(weights=Weights(digest="e")), screened, TODAY),
        "no digest": NAMES.of("t", served(weights=Weights()), screened, TODAY),
        "model": NAMES.of("t", served(model="other"), screened, TODAY),
        "adapter": NAMES.of("t", served(adapter="wise"), screened, TODAY),
        "another adapter": NAMES.of("t", served(adapter="dull"), screened, TODAY),
        "rules": NAMES.of("t", SERVED, replace(screened, rules="v1"), TODAY),
        "day": NAMES.of("t", SERVED, screened, date(2026, 11, 30)),
        "settings": replace(NAMES, settings=b"x").of("t", SERVED, screened, TODAY),
        "key": replace(NAMES, key=b"x" * 32).of("t", SERVED, screened, TODAY),
    }
    assert len({*others.values(), name_of(base)}) == len(others) + 1


def test_names_are_another_key_s_in_each_process_and_the_same_under_one() -> None:
    base = BASES[0]
    assert name_of(base, AnswerNames()) != name_of(base, AnswerNames())
    key = b"k" * 32
    assert name_of(base, AnswerNames(key=key)) == name_of(base, AnswerNames(key=key))
    unproven = served(weights=Weights())
    first, second = (
        AnswerNames(key=key).of("t", unproven, Screened(generation=base), TODAY) for _ in range(2)
    )
    assert first != second, "weights without a digest are those of one process alone"
    adapted = served(adapter="wise")
    known = [
        AnswerNames(key=key, adapters={"wise": digest}).of(
            "t", adapted, Screened(generation=base), TODAY
        )
        for digest in ("1", "2", "1")
    ]
    assert known[0] == known[2] != known[1]


@pytest.mark.parametrize(
    ("sampling", "more", "expected"),
    [
        ({"temperature": 0}, {}, True),
        ({"temperature": 0.0}, {"n": 3, "best_of": 4}, True),
        ({"temperature": 1.0}, {}, False),
        ({"temperature": 1.0, "seed": 0}, {}, True),
        ({"temperature": 0}, {"explains_cache": True}, False),
    ],
)
def test_what_may_be_kept(sampling: dict[str, Any], more: dict[str, Any], expected: bool) -> None:
    wanted = SamplingParams(max_tokens=1, **sampling)
    generation = Generation(prompts=(TextPrompt("p"),), sampling=wanted, **more)
    assert is_repeatable(generation) is expected
