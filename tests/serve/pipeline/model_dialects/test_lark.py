"""Rules and literals of a grammar that is written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.grammars.grammar import Grammar
from serve.pipeline.model_dialects.lark import Lark, in_regex
from tests.serve.pipeline.model_dialects.language import TOKENS, is_of

WORDS = st.lists(
    st.sampled_from(["a", "b", "<", "end", "<end>", "]", "/", "\\", "\n", "é"]), max_size=6
)


def grammar(lark: Lark, rule: str) -> Grammar:
    lark.rule("start", rule)
    return lark.grammar()


def test_names_of_tokens_in_a_literal_are_tokens() -> None:
    lark = Lark({"<end>": 5})
    assert lark.literal('a"<end>b') == '"a\\"" <[5]> "b"'
    assert lark.literal("") == ""
    assert Lark({}).literal("<end>") == '"<end>"'


def test_a_literal_is_of_its_own_language() -> None:
    lark = Lark(TOKENS)
    made = grammar(lark, lark.literal("a<end>b"))
    assert is_of(made, "a<end>b")
    assert not is_of(made, "a<end>")


@given(text=WORDS.map("".join))
def test_any_text_up_to_a_literal(text: str) -> None:
    for literal in ("</x>", "<end>", "\n<end>"):
        lark = Lark(TOKENS)
        made = grammar(lark, lark.up_to(literal))
        if literal not in text and "<end>" not in text:
            assert is_of(made, text + literal)
            assert not is_of(made, text)


@pytest.mark.parametrize("literal", ["</x>", "<end>", "\n<end>"])
def test_a_bound_of_tokens_before_a_literal(literal: str) -> None:
    lark = Lark(TOKENS)
    made = grammar(lark, lark.up_to(literal, max_tokens=6))
    for words in ("", "a", "a b", "é\n"):
        assert is_of(made, words + literal)
        assert not is_of(made, words)
    assert not is_of(made, f"{'a b c d e f g h ' * 4}{literal}")


def test_up_to_nothing_is_any_text() -> None:
    lark = Lark(TOKENS)
    assert is_of(grammar(lark, lark.up_to("")), "anything\n")


def test_text_that_does_not_begin_in_some_way() -> None:
    lark = Lark(TOKENS)
    made = grammar(lark, lark.text_not_beginning_with(['{"name": "f', "<call>"]))
    assert is_of(made, '{"name": "g"}')
    assert is_of(made, "")
    assert not is_of(made, ' \n{"name": "f"}')
    lark = Lark(TOKENS)
    assert is_of(grammar(lark, lark.text_not_beginning_with(["<call>"])), "a")


@pytest.mark.parametrize("text", ["", "a\\n", "\\u00e9", '\\"', "{}"])
def test_the_inside_of_a_json_string(text: str) -> None:
    json.loads(f'"{text}"')
    lark = Lark({})
    made = grammar(lark, f'"<" {lark.json_text()} "\\""')
    assert is_of(made, f'<{text}"')
    assert not is_of(made, f'<{text}""')


def test_values_up_to_some_characters_or_between_quotes() -> None:
    lark = Lark(TOKENS)
    made = grammar(lark, f'{lark.up_to_any_of(",}", quote="<end>")} "," ')
    assert is_of(made, "12,")
    assert is_of(made, "<end>a, b}<end>,")
    assert not is_of(made, "1,2,")


def test_equal_parts_are_one() -> None:
    lark = Lark({})
    part = Grammar(kind="regex", text="a+")
    assert lark.part(part) == lark.part(Grammar(kind="regex", text="a+"))
    assert lark.part(part) != lark.part(Grammar(kind="regex", text="b+"))
    made = grammar(lark, f"{lark.part(part)} {lark.space()}")
    assert len(made.parts) == 2
    assert is_of(made, "aa ")


@given(st.text(max_size=8))
def test_a_text_as_a_regular_expression(text: str) -> None:
    pattern = in_regex(text)
    assert all(char.isalnum() or char in " _\\{}" for char in pattern)
