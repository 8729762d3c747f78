"""Where a model's dialect is found, and which of several places counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from serve.errors import StartupError
from serve.pipeline.model_dialects.dialect import NO_DIALECT
from serve.pipeline.model_dialects.finding import ModelTexts, find_dialect, named
from serve.pipeline.model_dialects.table import HARMONY, HERMES
from serve.pipeline.template import ChatTemplate
from tests.serve.pipeline.model_dialects.test_deriving import CALLS, HEAD, TAIL

SOURCE = f"{HEAD}{{{{ m.content }}}}{CALLS}{TAIL}"


def texts(
    source: str = SOURCE, tokens: Mapping[str, int] | None = None, **options: Any
) -> ModelTexts:
    template = ChatTemplate(source, {})
    return ModelTexts(
        template=source,
        render=lambda messages, tools, opens: str(
            template.render(messages, tools, opens_answer=opens)
        ),
        tokens=tokens or {},
        end_texts=["</s>"],
        **options,
    )


def test_the_operators_word_counts_most() -> None:
    assert find_dialect(texts(), "none") is NO_DIALECT
    assert find_dialect(texts(), "hermes") is HERMES
    assert find_dialect(None, "harmony") is HARMONY


def test_without_a_template_there_is_none() -> None:
    assert find_dialect(None) is NO_DIALECT


def test_a_template_shows_it() -> None:
    found = find_dialect(texts())
    assert found.source == "derived"
    assert find_dialect(texts()) is found  # kept by the template's digest
    assert find_dialect(texts(f"{HEAD}{{{{ m.content }}}}{TAIL}")) is NO_DIALECT


def test_tokens_of_a_family_show_it() -> None:
    tokens = {"<|channel|>": 1, "<|constrain|>": 2, "<|call|>": 3}
    assert find_dialect(texts("<|channel|>", tokens)) is HARMONY


def test_what_the_folder_declares_goes_before_what_is_derived() -> None:
    calls = {
        "open": "<call>",
        "close": "</call>",
        "content": "json",
        "transform": {"name": "{name}", "arguments": "{arguments}"},
    }
    thinking = {"open": "<t>", "close": "</t>"}
    declared = {"fields": {"tool_calls": calls, "thinking": thinking}}
    found = find_dialect(texts(response_template=declared))
    assert found.source == "response_template"
    assert found.reasoning is not None
    assert found.calls == find_dialect(texts()).calls  # the same in the template's own spelling
    other = {"fields": {"tool_calls": {**calls, "open": "<other>"}}}
    found = find_dialect(texts(response_template=other))
    assert found.calls is not None
    assert found.calls.open == "<other>"


@pytest.mark.parametrize("declared", [None, 1, [], "x", {"fields": {"thinking": {"open": " "}}}])
def test_what_declares_nothing_leaves_what_is_derived(declared: Any) -> None:
    assert find_dialect(texts(response_template=declared)) == find_dialect(texts())


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(StartupError, match=r"--tool-dialect hermse.*hermes.*auto, none, harmony"):
        named("hermse")
