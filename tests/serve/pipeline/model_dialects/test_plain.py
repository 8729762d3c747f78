"""Reasoning and content in a row."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from serve.pipeline.model_dialects.table import HERMES
from tests.serve.pipeline.model_dialects.parsed import one_by_one


@given(st.text(alphabet="<think>/ \nab", max_size=40))
@example("<think>\n")
@example("<think>a</think>b")
def test_reasoning_and_content_are_all_that_there_is(text: str) -> None:
    seen = one_by_one(HERMES, text, is_thinking=True)
    assert seen.reasoning + seen.content in (text, *_without_tags(text))


def _without_tags(text: str) -> set[str]:
    """What can be left of a text when the reasoning's tags and their white space are read."""
    begun = {text}
    if text.lstrip().startswith("<think>"):
        rest = text.lstrip().removeprefix("<think>")
        begun = {rest, rest.removeprefix("\n")}
    left = set(begun)
    for one in begun:
        before, tag, behind = one.partition("</think>")
        spaces = {behind, behind.removeprefix("\n"), behind.removeprefix("\n\n")}
        left |= {b + s for b in (before, before.removesuffix("\n")) for s in spaces if tag}
    return left


def test_reasoning_that_never_closes_is_all_reasoning() -> None:
    for reason in ("stop", "length"):
        seen = one_by_one(HERMES, "Let me </thi", is_thinking=True, reason=reason)
        assert (seen.reasoning, seen.content, seen.reason) == ("Let me </thi", "", reason)


def test_tokens_of_hidden_reasoning_are_not_told() -> None:
    text = "<think>\nHm.\n</think>\n\nHi."
    shown = one_by_one(HERMES, text)
    hidden = one_by_one(HERMES, text, shows_reasoning=False)
    assert (hidden.reasoning, hidden.content) == ("", "Hi.") == ("", shown.content)
    assert not {text.index("H"), text.index("m")} & {*hidden.tokens}
    assert hidden.tokens[-3:] == shown.tokens[-3:] == [*range(len(text) - 3, len(text))]
