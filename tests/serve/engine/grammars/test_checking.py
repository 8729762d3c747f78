"""The check before admission: what it refuses, and by which field's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.engine.grammars.checking import GrammarChecker
from serve.engine.grammars.grammar import Grammar
from serve.errors import InvalidRequest, UnsupportedField
from tests.serve.engine.grammars.conftest import DEMO, EOS, VOCAB_SIZE


async def test_a_grammar_is_checked_for_the_field_that_brought_it() -> None:
    checker = GrammarChecker(DEMO, vocab_size=VOCAB_SIZE, eos_token_ids=EOS)
    await checker.check(Grammar(kind="regex", text="a+"), "structured_outputs")
    with pytest.raises(InvalidRequest) as refused:
        await checker.check(Grammar(kind="regex", text="("), "structured_outputs")
    assert refused.value.param == "structured_outputs"


async def test_a_model_without_a_vocabulary_takes_none(tmp_path: Path) -> None:
    checker = GrammarChecker(tmp_path, vocab_size=10, eos_token_ids={1})
    with pytest.raises(UnsupportedField, match="takes no grammars"):
        await checker.check(Grammar(kind="regex", text="a+"), "response_format")
