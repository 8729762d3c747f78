"""No token is told before all of its text is."""

from __future__ import annotations

from serve.governance.filtering.told_tokens import ToldTokens
from serve.pipeline.events import TextDelta, TokenText


def token(text: str) -> TokenText:
    return TokenText(text=text, raw=text.encode(), logprob=0.0)


def delta(text: str, *tokens: TokenText) -> TextDelta:
    return TextDelta(index=0, text=text, logprobs=tokens)


def test_a_token_waits_for_its_text() -> None:
    told = ToldTokens()
    told.take(delta("ab", token("ab")))
    assert told.told(1) == ()
    assert told.told(1) == (token("ab"),)


def test_a_token_that_is_longer_than_its_text_waits_for_the_rest() -> None:
    told = ToldTokens()
    told.take(delta(" ", token(" bad")))  # a stop string holds the rest
    assert told.told(1) == ()
    told.take(delta("bad"))
    assert told.told(2) == ()
    assert told.told(1) == (token(" bad"),)


def test_a_part_of_a_character_waits_for_the_character() -> None:
    told = ToldTokens()
    part = TokenText(text="\ufffd", raw=b"\xe5", logprob=0.0)
    told.take(delta("", part))
    assert told.told(0) == ()
    assert told.told(1) == (part,)


def test_a_token_without_text_waits_for_those_before_it_alone() -> None:
    told = ToldTokens()
    special = TokenText(text="<|x|>", raw=b"", logprob=0.0)
    told.take(delta("a", token("a"), special))
    assert told.told(1) == (token("a"), special)


def test_the_rest_comes_at_the_end() -> None:
    told = ToldTokens()
    told.take(delta("", token("<think>")))
    assert told.told(0) == ()
    assert told.rest() == (token("<think>"),)
    assert told.rest() == ()
