"""Where a dialect comes from: the operator's word, a family's tokens, the folder, its template."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serve.errors import StartupError
from serve.pipeline.model_dialects.dialect import NO_DIALECT, ReasoningSyntax
from serve.pipeline.model_dialects.finding import ModelTexts, find_dialect
from serve.pipeline.model_dialects.probing import Messages
from serve.pipeline.model_dialects.table import DIALECTS

DECLARED = {"version": 1, "fields": {"thinking": {"open": "<hm>", "close": "</hm>"}}}


def render(messages: Messages, tools: Messages, opens_answer: bool) -> str:
    text = "".join(
        f"[{m['role']}]{m.get('content') or ''}"
        + "".join(
            f"<go>{call['function']['name']} {call['function']['arguments']}</go>"
            for call in m.get("tool_calls", ())
        )
        + "<end>"
        for m in messages
    )
    return text + ("[assistant]" if opens_answer else "")


TEXTS = ModelTexts(template="a template", render=render, tokens={}, end_texts=["<end>"])


@pytest.mark.parametrize("name", DIALECTS)
def test_the_operators_word_counts_first(name: str) -> None:
    assert find_dialect(TEXTS, name) is DIALECTS[name]
    assert find_dialect(None, name) is DIALECTS[name]


def test_none_is_nothing_but_content() -> None:
    assert find_dialect(TEXTS, "none") is NO_DIALECT


def test_a_name_that_is_not_there_ends_the_start_with_those_that_are() -> None:
    with pytest.raises(StartupError, match=r"Did you mean hermes\?.*auto, none, harmony, hermes"):
        find_dialect(TEXTS, "hermez")


def test_without_a_template_there_is_none() -> None:
    assert find_dialect(None) is NO_DIALECT


def test_a_family_is_known_by_its_tokens() -> None:
    tokens = {"<|channel|>": 1, "<|constrain|>": 2, "<|call|>": 3}
    texts = replace(TEXTS, template="... <|channel|> ...", tokens=tokens)
    assert find_dialect(texts) is DIALECTS["harmony"]
    assert find_dialect(replace(texts, template="nothing of it")).source == "derived"


def test_calls_are_derived_from_the_template() -> None:
    dialect = find_dialect(TEXTS)
    assert dialect.source == "derived"
    assert dialect.calls is not None
    assert (dialect.calls.trigger, dialect.calls.close) == ("<go>", "</go>")
    assert dialect.reasoning is None


def test_what_a_folder_says_and_what_its_template_shows_are_joined() -> None:
    dialect = find_dialect(replace(TEXTS, response_template=DECLARED))
    assert dialect.source == "response_template"
    assert dialect.reasoning == ReasoningSyntax(open="<hm>", close="</hm>")
    assert dialect.calls == find_dialect(TEXTS).calls
