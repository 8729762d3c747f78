"""Calls that the end of an answer cuts off: none of their markup is content, and none is whole."""

from __future__ import annotations

import json

import pytest

from serve.pipeline.answer import Answer
from serve.pipeline.events import Finished, TextDelta
from serve.pipeline.model_dialects.dialect import CallSyntax, JsonCall, ModelDialect, TaggedCall
from serve.pipeline.model_dialects.parsing import AnswerParser
from serve.timeline import FinishReason

TAGGED_JSON = CallSyntax(
    open="<tool_call>\n",
    body=JsonCall(name=("name",), arguments=("arguments",)),
    close="\n</tool_call>",
)
TAGGED = CallSyntax(
    open="<call>",
    body=TaggedCall(name_end="\n", key_open="<k>", key_end="</k><v>", value_end="</v>\n"),
    close="</call>",
)
WRITTEN = {
    "json": ('<tool_call>\n{"name": "look", "arguments": {"at": "it"}}\n</tool_call>', TAGGED_JSON),
    "tagged": ("<call>look\n<k>at</k><v>it</v>\n</call>", TAGGED),
}


def read(
    text: str, syntax: CallSyntax, reason: FinishReason, size: int, *, is_parallel: bool = True
) -> Answer:
    parser = AnswerParser(
        index=0,
        dialect=ModelDialect(name="x", source="derived", calls=syntax),
        tools={"look": None},
        is_parallel=is_parallel,
    )
    answer = Answer()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    for piece in pieces:
        for event in parser.feed([TextDelta(index=0, text=piece)]):
            answer.add(event)
    for event in parser.feed([Finished(index=0, reason=reason)]):
        answer.add(event)
    return answer


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("before", ["", "I look.\n\n"])
@pytest.mark.parametrize("size", [1, 1_000])
def test_no_end_leaves_markup_in_the_content(form: str, before: str, size: int) -> None:
    written, syntax = WRITTEN[form]
    for end in range(len(syntax.open.strip()), len(written) + 1):
        (choice,) = read(before + written[:end], syntax, "length", size).choices
        assert choice.text.strip() == before.strip(), written[:end]
        assert choice.reason == "length"


@pytest.mark.parametrize("form", WRITTEN)
def test_an_answer_of_calls_has_whole_ones(form: str) -> None:
    written, syntax = WRITTEN[form]
    reasons = set()
    for end in range(len(syntax.open.strip()), len(written) + 1):
        (choice,) = read(written[:end], syntax, "stop", 1).choices
        reasons.add(choice.reason)
        if choice.reason == "tool_calls":
            assert [json.loads(call.arguments) for call in choice.calls] == [{"at": "it"}]
    assert reasons == {"stop", "tool_calls"}


def test_a_tag_that_a_text_goes_on_behind_is_content() -> None:
    text = "The tag is <tool_call>, as I said."
    (choice,) = read(text, TAGGED_JSON, "stop", 1).choices
    assert (choice.text, choice.reason) == (text, "stop")


@pytest.mark.parametrize("size", [1, 1_000])
def test_the_one_call_without_tags_is_told(size: int) -> None:
    text = '{"name": "look", "arguments": {}}'
    (choice,) = read(text, TAGGED_JSON, "stop", size, is_parallel=False).choices
    assert ([call.name for call in choice.calls], choice.text) == (["look"], "")
    assert choice.reason == "tool_calls"
    (choice,) = read(text + " is it", TAGGED_JSON, "stop", size, is_parallel=False).choices
    assert (choice.calls, choice.text) == ([], text + " is it")
    assert choice.reason == "stop"
