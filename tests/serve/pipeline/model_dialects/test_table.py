"""The table of dialects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serve.pipeline.model_dialects.dialect import is_weak
from serve.pipeline.model_dialects.table import DIALECTS, HARMONY, KIMI, of_markers

HARMONY_TOKENS = {"<|channel|>": 1, "<|constrain|>": 2, "<|call|>": 3}
KIMI_TOKENS = {"<|tool_calls_section_begin|>": 1, "<|tool_call_argument_begin|>": 2}


def test_names_are_those_of_the_dialects() -> None:
    assert all(name == dialect.name for name, dialect in DIALECTS.items())
    assert len(DIALECTS) <= 8


def test_a_family_is_known_by_its_tokens_if_its_template_speaks_of_them() -> None:
    assert of_markers("... <|channel|> ...", HARMONY_TOKENS) is HARMONY
    assert of_markers("<|tool_call_argument_begin|> </think>", KIMI_TOKENS) is KIMI
    assert of_markers("<|tool_call_argument_begin|>", KIMI_TOKENS) == replace(KIMI, reasoning=None)
    assert of_markers("nothing", HARMONY_TOKENS) is None
    assert of_markers("<|channel|>", {"<|channel|>": 1}) is None
    assert of_markers("", {}) is None


@pytest.mark.parametrize(
    ("trigger", "wanted"),
    [
        ("", True),
        ("[", True),
        ('{"', True),
        ("<tool_call>", False),
        ("[TOOL_CALLS]", False),
        ("☎", False),
    ],
)
def test_triggers_that_are_ordinary_text_are_weak(trigger: str, wanted: bool) -> None:
    assert is_weak(trigger) is wanted
