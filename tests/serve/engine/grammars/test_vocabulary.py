"""Vocabularies of every shape: read, or refused with a reason; never larger than the model's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serve.engine.grammars.background import BackgroundCompiler
from serve.engine.grammars.compiling import GrammarCompiler
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.vocabulary import VocabularyError, load
from tests.serve.engine.grammars.conftest import DEMO, EOS, VOCAB_SIZE
from tests.serve.pipeline.tokenizer_shapes import SHAPES, shape

READ = {"byte-level", "byte-level, whole words first", "byte-level, space before", "folding"}


@pytest.mark.parametrize("beyond", [-30, 0, 100])
@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_read_or_refused(name: str, beyond: int, tmp_path: Path) -> None:
    tokenizer = shape(name)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_str(), "utf-8")
    size = tokenizer.get_vocab_size() + beyond
    eos = frozenset({tokenizer.token_to_id("<|im_end|>")})
    if name not in READ:
        with pytest.raises(VocabularyError):
            load(tmp_path, vocab_size=size, eos_token_ids=eos)
        return
    compiler = GrammarCompiler(load(tmp_path, vocab_size=size, eos_token_ids=eos), size)
    matcher = compiler.compile(Grammar(kind="regex", text="(the|one) audit [0-9]"))
    memory = bytearray(compiler.mask_bytes)
    token_ids: list[int] = []
    while not matcher.is_complete:
        token_ids.append(_first_allowed(matcher, memory, eos))
        matcher.accept(token_ids[-1])
    assert max(token_ids) < size
    text = tokenizer.decode(token_ids, skip_special_tokens=False).removesuffix("<|im_end|>")
    assert re.fullmatch("(the|one) audit [0-9]", text)


def _first_allowed(matcher, memory: bytearray, eos: frozenset[int]) -> int:  # type: ignore[no-untyped-def]
    import ctypes

    matcher.fill(ctypes.addressof(ctypes.c_char.from_buffer(memory)), len(memory))
    bits = int.from_bytes(memory, "little")
    return (bits & -bits).bit_length() - 1


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    for text in (None, "", "{}", "[]", '{"model": {"type": "BPE"}}'):
        if text is not None:
            (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(VocabularyError):
            load(tmp_path, vocab_size=100, eos_token_ids={1})


def test_a_model_without_an_end_takes_none() -> None:
    with pytest.raises(VocabularyError, match="ends a completion"):
        load(DEMO, vocab_size=VOCAB_SIZE, eos_token_ids=())


def test_a_vocabulary_that_cannot_be_read_costs_no_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reading = BackgroundCompiler(tmp_path, vocab_size=10, eos_token_ids=frozenset({1}))
    assert reading.result() is None
    assert "takes no grammars" in caplog.text


def test_the_vocabulary_is_read_once() -> None:
    first, second = [
        BackgroundCompiler(DEMO, vocab_size=VOCAB_SIZE, eos_token_ids=EOS).result()
        for _ in range(2)
    ]
    assert first is not None
    assert first is second
