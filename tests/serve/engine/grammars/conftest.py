"""A compiler over the demo model's vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.engine.grammars.compiling import GrammarCompiler
from serve.engine.grammars.vocabulary import load
from tests.house.tree import ROOT

DEMO = Path(ROOT / "models/demo/weights")
VOCAB_SIZE = 4096
EOS = frozenset({2})


@pytest.fixture
def compiler() -> GrammarCompiler:
    return GrammarCompiler(load(DEMO, vocab_size=VOCAB_SIZE, eos_token_ids=EOS), VOCAB_SIZE)
