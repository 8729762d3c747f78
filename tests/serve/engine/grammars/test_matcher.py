"""One completion's place in its grammar: what may come, what is forced, and where it ends."""

from __future__ import annotations

import ctypes

import pytest

from serve.engine.grammars.compiling import GrammarCompiler
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.matcher import Matcher, mask_bytes
from serve.errors import InvalidRequest
from tests.serve.engine.grammars.conftest import EOS


@pytest.fixture
def matcher(compiler: GrammarCompiler) -> Matcher:
    return compiler.compile(Grammar(kind="choice", choices=("yes", "no")))


def allowed(compiler: GrammarCompiler, matcher: Matcher) -> set[int]:
    memory = bytearray(compiler.mask_bytes)
    matcher.fill(ctypes.addressof(ctypes.c_char.from_buffer(memory)), len(memory))
    return {i for i in range(8 * len(memory)) if memory[i // 8] >> i % 8 & 1}


def test_a_copy_goes_on_by_itself(compiler, matcher):
    other = matcher.copy()
    first = allowed(compiler, matcher)
    matcher.accept(min(first))
    assert allowed(compiler, other) == first
    assert allowed(compiler, matcher) != first


def test_a_choice_is_followed_to_its_end(compiler, matcher):
    assert not matcher.is_accepting
    for _ in range(8):
        if matcher.is_accepting:
            break
        matcher.accept(min(allowed(compiler, matcher)))
    assert matcher.is_accepting
    assert matcher.is_complete  # nothing goes on from either word
    assert allowed(compiler, matcher) <= EOS


def test_guesses_are_looked_at_and_not_gone_past(compiler, matcher):
    right = min(allowed(compiler, matcher))
    (wrong,) = [i for i in range(1000) if i not in allowed(compiler, matcher)][:1]
    assert matcher.num_allowed([right]) == 1
    assert matcher.num_allowed([wrong, right]) == 0
    assert right in allowed(compiler, matcher)


def test_what_may_not_come_is_refused(compiler, matcher):
    (wrong,) = [i for i in range(1000) if i not in allowed(compiler, matcher)][:1]
    with pytest.raises(InvalidRequest):
        matcher.accept(wrong)
    assert not matcher.is_complete
    assert not matcher.is_accepting


def test_forced_tokens_are_of_the_model_s_vocabulary(compiler):
    class Inner:
        def compute_ff_tokens(self) -> list[int]:
            return [3, 9, 10, 4]

    assert Matcher(Inner(), 10).forced() == [3, 9]  # type: ignore[arg-type]
    assert Matcher(Inner(), 11).forced() == [3, 9, 10, 4]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("token doesn't satisfy the grammar", "the name of one of this model's special tokens"),
        ("NoExtension", "a part of the grammar of which there is no text"),
        ("fuel", "takes too much work"),
    ],
)
def test_an_error_is_told_in_our_words(told, words):
    class Inner:
        def consume_token(self, _token: int) -> bool:
            return False

        def get_error(self) -> str:
            return told

    with pytest.raises(InvalidRequest, match=words):
        Matcher(Inner(), 10).accept(1)  # type: ignore[arg-type]


@pytest.mark.parametrize(("tokens", "size"), [(1, 4), (32, 4), (33, 8), (1024, 128)])
def test_a_mask_is_whole_words_of_32_bits(tokens, size):
    assert mask_bytes(tokens) == size
