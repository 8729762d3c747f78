"""Examining the dialect that is found for a form of template: answers of it, read back."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count, pairwise

from serve.engine.protocol import TokenChunk
from serve.pipeline.choice import Choice
from serve.pipeline.events import ChoiceEvent, Finished, TextDelta, TokenText, ToolCallDelta
from serve.pipeline.model_dialects.bound import BoundDialect, bind
from serve.pipeline.model_dialects.finding import ModelTexts, find_dialect
from serve.pipeline.model_dialects.parsing import AnswerParser
from serve.pipeline.template import ChatTemplate
from tests.serve.pipeline.forms.answers import Answer, answer, tokenizer_of
from tests.serve.pipeline.forms.conversations import Call, Conversation, conversation
from tests.serve.pipeline.forms.form import Form

Parsed = tuple[str, str, list[tuple[str, str]], str]
"""Reasoning, content, calls as names and texts of arguments, and the reason of the end."""


@cache
def dialect_of(form: Form) -> BoundDialect:
    """The dialect that is found for a form, as a start of the server finds it."""
    tokenizer = tokenizer_of(form)
    template = ChatTemplate(form.source, form.special_tokens)
    texts = ModelTexts(
        template=template.tools_source,
        render=lambda messages, tools, opens: str(
            template.render(messages, tools, options=form.arguments, opens_answer=opens)
        ),
        tokens=tokenizer.added_ids,
        end_texts=[text.strip() for text in form.ends],
    )
    return bind(find_dialect(texts), tokens=tokenizer.added_ids, special=tokenizer.special_ids)


def answers(
    form: Form, seeds: Sequence[int], *, own: bool = False
) -> Iterator[tuple[Answer, Conversation]]:
    """Answers of a form, one for each of the assistant's turns."""
    for seed in seeds:
        for part in conversation(form, seed, own=own).ending_with_each_turn():
            yield answer(form, part), part


def last_answers(form: Form, seeds: Sequence[int]) -> Iterator[tuple[Answer, Conversation]]:
    """One answer of each conversation: its last."""
    for seed in seeds:
        part = [*conversation(form, seed).ending_with_each_turn()][-1]
        yield answer(form, part), part


def read(form: Form, given: Answer, part: Conversation) -> Parsed:
    """An answer as the pipeline reads it, token by token."""
    bound = dialect_of(form)
    parser = parser_of(form, given, part)
    choice = Choice(
        index=0,
        detokenizer=tokenizer_of(form).detokenizer(()),
        stages=[parser],
        describe=lambda logprob: TokenText(text="", raw=b"", logprob=logprob.logprob),
        marks=bound.marks_by_id,
    )
    # The token that ends the turn comes last, as an engine has it.
    return gathered(choice.feed(TokenChunk(token_ids=[*given.ids, 0], finish_reason="stop")))


def marked_text(form: Form, given: Answer) -> str:
    """The text of an answer as its parser is given it, with marks for special tokens."""
    choice = Choice(
        index=0,
        detokenizer=tokenizer_of(form).detokenizer(()),
        stages=[],
        describe=lambda logprob: TokenText(text="", raw=b"", logprob=logprob.logprob),
        marks=dialect_of(form).marks_by_id,
    )
    chunks = [TokenChunk(token_ids=[token_id]) for token_id in given.ids]
    events = [event for chunk in chunks for event in choice.feed(chunk)]
    events += choice.feed(TokenChunk(token_ids=[0], finish_reason="stop"))
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def read_text(parser: AnswerParser, text: str, cuts: Sequence[int]) -> Parsed:
    """A text as a parser reads it, cut at any characters."""
    bounds = [0, *sorted(set(cuts) - {0, len(text)}), len(text)]
    events: list[ChoiceEvent] = []
    for start, end in pairwise(bounds):
        events += parser.feed([TextDelta(index=0, text=text[start:end])])
    return gathered([*events, *parser.feed([Finished(index=0, reason="stop")])])


def parser_of(form: Form, given: Answer, part: Conversation) -> AnswerParser:
    """A fresh parser for an answer."""
    bound, numbers = dialect_of(form), count()
    reasoning = bound.dialect.reasoning
    tools = {tool["function"]["name"]: tool["function"].get("parameters") for tool in part.tools}
    return AnswerParser(
        index=0,
        dialect=bound.marked,
        tools=tools or None,
        is_thinking=reasoning is not None
        and given.prompt.rstrip().endswith(reasoning.open.strip()),
        marks=bound.marks,
        new_id=lambda: f"call_{next(numbers)}",
    )


def gathered(events: Sequence[ChoiceEvent]) -> Parsed:
    """What events come to. Fails where they are out of order."""
    texts = {"reasoning": "", "content": ""}
    calls: list[list[str]] = []
    for event in events:
        if isinstance(event, TextDelta):
            texts[event.channel] += event.text
        elif isinstance(event, ToolCallDelta):
            if event.name is not None:
                assert event.call == len(calls)
                assert event.call_id is not None
                calls.append([event.name, ""])
            calls[event.call][1] += event.arguments
    end = events[-1]
    assert isinstance(end, Finished)
    told = [(name, arguments) for name, arguments in calls]
    return texts["reasoning"], texts["content"], told, end.reason


def as_calls(parsed: Parsed, given: Answer) -> list[Call]:
    """The calls of a reading; ids are the server's own, so those of the answer are taken."""
    ids = [call.id for call in given.expected.calls]
    return [
        Call(name, _loaded(arguments), ids[at] if at < len(ids) else "")
        for at, (name, arguments) in enumerate(parsed[2])
    ]


def _loaded(arguments: str) -> dict[str, object]:
    try:
        value = json.loads(arguments)
    except ValueError:
        return {"not JSON": arguments}
    return value if isinstance(value, dict) else {"no object": value}


def random_cuts(size: int, seed: int) -> list[int]:
    """Places at which a text is cut into pieces."""
    source = random.Random(seed)
    share = source.choice((0.02, 0.2, 0.7))
    return [at for at in range(1, size) if source.random() < share]
