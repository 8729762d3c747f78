"""The grammar of one sequence, as vLLM's scheduler treats it: forth, back, and past its end."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.engine.grammars import of_text, vocabulary
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.of_text import Vocabulary
from serve.engine.grammars.refusal import GrammarRefused
from serve.engine.grammars.serialised import serialised
from tests.tiny_models import write_tokenizer

pytest.importorskip("vllm", reason="vLLM is not installed")
torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # of vLLM's own imports

VOCAB_SIZE = 1024
EOS = (0, 2)
WORDS = Grammar(kind="regex", text="a(b|c)*d")
"""Whether there is more is open until the d, after which there is not."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def trie(folder: Path) -> Vocabulary:
    return vocabulary.load(folder, vocab_size=VOCAB_SIZE, eos_token_ids=EOS)


def state_of(trie: Vocabulary, grammar: Grammar = WORDS) -> Any:
    from serve.engine.vllm.grammar_backend import GrammarState

    return GrammarState(of_text.compiled(trie, serialised(grammar)), frozenset(EOS))


def backend_of(building: Future[Vocabulary]) -> Any:
    from serve.engine.vllm.grammar_backend import GrammarBackend

    model = SimpleNamespace(get_vocab_size=lambda: VOCAB_SIZE)
    return GrammarBackend(SimpleNamespace(model_config=model), building)


def built(trie: Vocabulary) -> Future[Vocabulary]:
    building: Future[Vocabulary] = Future()
    building.set_result(trie)
    return building


def allowed(state: Any) -> set[int]:
    mask = torch.zeros((3, VOCAB_SIZE // 32), dtype=torch.int32)
    state.fill_bitmask(mask, 1)
    assert not mask[0].any()
    assert not mask[2].any()
    return {i for i in range(VOCAB_SIZE) if mask[1, i // 32].item() >> (i % 32) & 1}


def ids(trie: Vocabulary, text: str) -> list[int]:
    """One token for each byte."""
    return [token for letter in text for token in trie.tokenize_str(letter)]


def test_masks_are_written_to_the_row_that_is_named(trie: Vocabulary) -> None:
    state = state_of(trie)
    assert set(ids(trie, "a")) <= allowed(state)
    assert not set(ids(trie, "bcd")) & allowed(state)
    assert not set(EOS) & allowed(state)


@pytest.mark.parametrize("eos", EOS)
@pytest.mark.parametrize("grammar", [WORDS, Grammar(kind="regex", text="abcd|abcde")])
def test_any_of_the_tokens_that_end_an_answer_ends_it(
    trie: Vocabulary, grammar: Grammar, eos: int
) -> None:
    state = state_of(trie, grammar)
    assert state.accept_tokens("r", ids(trie, "abcd"))
    assert set(EOS) <= allowed(state)
    assert not state.is_terminated()
    assert state.accept_tokens("r", [eos])
    assert state.is_terminated()
    state.rollback(1)
    assert not state.is_terminated()
    assert set(EOS) <= allowed(state)


def test_what_the_mask_rules_out_is_not_accepted(trie: Vocabulary) -> None:
    (wrong,) = ids(trie, "x")
    state = state_of(trie)
    assert not state.accept_tokens("r", [wrong])
    # Its mask allows the end now. That is not one.
    assert not state.accept_tokens("r", [EOS[0]])
    ended = state_of(trie)
    ended.accept_tokens("r", ids(trie, "ad"))
    assert not ended.accept_tokens("r", [wrong])


def test_drafts_are_taken_as_far_as_they_are_allowed(trie: Vocabulary) -> None:
    state = state_of(trie)
    drafts = ids(trie, "abbx")
    assert state.validate_tokens(drafts) == drafts[:3]
    assert state.accept_tokens("r", ids(trie, "abbd"))  # nothing was changed
    assert state.validate_tokens([EOS[1]]) == []


@settings(max_examples=100)
@given(st.data())
def test_what_is_taken_back_was_never_there(trie: Vocabulary, data: st.DataObject) -> None:
    state, path = state_of(trie), []
    for _ in range(data.draw(st.integers(1, 12))):
        if path and data.draw(st.booleans()):
            count = data.draw(st.integers(1, len(path)))
            state.rollback(count)
            del path[len(path) - count :]
        elif not state.is_terminated():
            token = data.draw(st.sampled_from(sorted(allowed(state))))
            assert state.accept_tokens("r", [token])
            path.append(token)
        fresh = state_of(trie)
        assert fresh.accept_tokens("r", path)
        assert state.is_terminated() == fresh.is_terminated()
        if not state.is_terminated():  # vLLM asks for no mask after that
            assert allowed(state) == allowed(fresh)


@pytest.mark.parametrize(
    "text",
    [
        '{"grammars": [{"lark_grammar": "start: nothing"}]}',
        "start: x",
        "",
        "{",
        '{"grammars": [{"json_schema": {"allOf": [{"const": 1}, {"const": 2}]}}]}',
    ],
)
def test_what_does_not_compile_raises_without_its_text(trie: Vocabulary, text: str) -> None:
    with pytest.raises(GrammarRefused, match=r"^The grammar does not compile\.$") as caught:
        backend_of(built(trie)).compile_grammar(None, text, {2})
    assert caught.value.__cause__ is None


def test_masks_are_as_wide_as_the_vocabulary(trie: Vocabulary) -> None:
    assert backend_of(built(trie)).allocate_token_bitmask(5).shape == (5, VOCAB_SIZE // 32)


def test_a_tokenizer_that_cannot_be_read_says_why(folder: Path, tmp_path: Path) -> None:
    from serve.engine.vllm.grammar_backend import install

    damaged = Path(shutil.copytree(folder, tmp_path / "damaged"))
    (damaged / "tokenizer.json").write_text('{"version": "1.0"}')
    model = SimpleNamespace(
        model=str(damaged), get_vocab_size=lambda: VOCAB_SIZE, hf_config=config()
    )
    fault = asked(install, SimpleNamespace(model_config=model))
    assert fault is not None
    assert "tokenizer" in fault
    model.model = str(folder)
    assert asked(install, SimpleNamespace(model_config=model)) is None


def config() -> Any:
    from transformers import PretrainedConfig

    return PretrainedConfig(vocab_size=VOCAB_SIZE, eos_token_id=2)


def asked(install: Any, vllm_config: Any) -> str | None:
    """What the core says, with vLLM's own classes as they were after that."""
    from vllm.v1.engine import core

    manager = core.StructuredOutputManager
    try:
        install({"vllm_config": vllm_config})
        fault: str | None = core.EngineCoreProc.grammar_fault(object())
        return fault
    finally:
        core.StructuredOutputManager = manager
        del core.EngineCoreProc.grammar_fault
