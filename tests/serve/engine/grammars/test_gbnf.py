"""Grammars in llama.cpp's notation become Lark, and what is neither is told so."""

from __future__ import annotations

import pytest

from serve.engine.grammars.gbnf import MAX_CHARS, MAX_LINES, lark_of

LARK = "start: greeting\ngreeting: /hello|hi/"


@pytest.mark.parametrize(
    "text", [LARK, f"%llguidance {{}}\n{LARK}", f"\n  {LARK}", 'start[capture]: "a::=b"']
)
def test_lark_stays_as_it_is(text: str) -> None:
    assert lark_of(text) == text


@pytest.mark.parametrize(
    "text",
    ['root ::= "a" b\nb ::= [0-9]+', 'root ::= ("yes" | "no")  # an answer', 'root ::= "start: x"'],
)
def test_gbnf_becomes_lark(text: str) -> None:
    assert "\nstart: " in lark_of(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("anything", "is no grammar"),
        ('root ::= "a', "is not good GBNF"),
        ("root ::= other", "is not good GBNF"),
        ("root ::= " + "(" * 3000 + '"a"' + ")" * 3000, "is nested too deeply"),
        ('root ::= "' + "a" * MAX_CHARS + '"', f"at most {MAX_CHARS}"),
        ('root ::= "a"\n' + "\n" * MAX_LINES, f"in {MAX_LINES}"),
    ],
)
def test_what_cannot_be_translated_is_told_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        lark_of(text)


def test_a_refusal_repeats_little_of_the_grammar() -> None:
    with pytest.raises(ValueError, match="is not good GBNF") as refused:
        lark_of('root ::= "canary' + "x" * 500)
    assert "canary" not in str(refused.value)
    assert len(str(refused.value)) < 160
