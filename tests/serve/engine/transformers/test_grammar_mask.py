"""Masks of places ahead are those that the mask itself has once it is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from serve.engine.grammars.compiling import GrammarCompiler
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.vocabulary import load
from serve.engine.transformers.grammar_mask import GrammarMask
from tests.house.tree import ROOT

DEMO = Path(ROOT / "models/demo/weights")
VOCAB_SIZE = 4096
GRAMMAR = Grammar(kind="json_schema", text='{"type": "array", "items": {"type": "integer"}}')


@pytest.fixture(scope="module")
def mask() -> GrammarMask:
    compiler = GrammarCompiler(
        load(DEMO, vocab_size=VOCAB_SIZE, eos_token_ids=frozenset({2})), VOCAB_SIZE
    )
    return GrammarMask(compiler.compile(GRAMMAR), compiler, GRAMMAR)


def allowed(mask: object) -> list[int]:
    logits = torch.zeros(VOCAB_SIZE)
    mask.apply(logits)  # type: ignore[attr-defined]
    return logits.isfinite().nonzero()[:, 0].tolist()


def test_places_ahead_are_as_they_will_be(mask: GrammarMask) -> None:
    token_ids = Tokenizer.from_file(str(DEMO / "tokenizer.json")).encode("[1, 22, 3]").ids
    here = allowed(mask)
    ahead = mask.ahead(token_ids)
    assert len(ahead) == len(token_ids)
    last_first = [allowed(one) for one in reversed(ahead)][::-1]
    assert allowed(mask) == here  # it went past none of them
    for token_id, one, found in zip(token_ids, ahead, last_first, strict=True):
        assert mask.allows(token_id)
        one.prepare()
        mask.accept(token_id)
        assert allowed(mask) == found
        assert all(one.allows(other) for other in found[:50])
    assert last_first[-1] == [2]  # the language's end
    assert mask.ahead(token_ids) == []  # none of them may come


def test_a_guess_that_may_not_come_ends_those_ahead() -> None:
    compiler = GrammarCompiler(
        load(DEMO, vocab_size=VOCAB_SIZE, eos_token_ids=frozenset({2})), VOCAB_SIZE
    )
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    mask = GrammarMask(compiler.compile(GRAMMAR), compiler, GRAMMAR)
    right, wrong = tokenizer.encode("[1").ids, tokenizer.encode("x").ids
    assert len(mask.ahead([*right, *wrong, *right])) == len(right)
    assert mask.ahead(wrong) == []
