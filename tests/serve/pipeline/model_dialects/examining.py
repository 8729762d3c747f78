"""Examining the dialect that is found for a form of template: answers of it, read back."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count, pairwise

from serve.engine.protocol import TokenChunk
from serve.pipeline.choice import Choice
from serve.pipeline.events import Finished, TextDelta, TokenText, ToolCallDelta
from serve.pipeline.model_dialects.bound import BoundDialect, bind
from serve.pipeline.model_dialects.finding import ModelTexts, find_dialect
from serve.pipeline.model_dialects.parsing import AnswerParser
from serve.pipeline.template import ChatTemplate
from serve.timeline import FinishReason
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


def read(form: Form, given: Answer, part: Conversation, cuts: Sequence[int]) -> Parsed:
    """An answer as the pipeline reads it, in chunks of its tokens."""
    bound, numbers = dialect_of(form), count()
    reasoning = bound.dialect.reasoning
    tools = {tool["function"]["name"]: tool["function"].get("parameters") for tool in part.tools}
    parser = AnswerParser(
        index=0,
        dialect=bound.marked,
        tools=tools or None,
        is_thinking=reasoning is not None
        and given.prompt.rstrip().endswith(reasoning.open.strip()),
        marks=bound.marks,
        new_id=lambda: f"call_{next(numbers)}",
    )
    choice = Choice(
        index=0,
        detokenizer=tokenizer_of(form).detokenizer(()),
        stages=[parser],
        describe=lambda logprob: TokenText(text="", raw=b"", logprob=logprob.logprob),
        marks=bound.marks_by_id,
    )
    # The token that ends the turn comes last, as an engine has it.
    ids = [*given.ids, 0]
    bounds = [0, *sorted(set(cuts) - {0, len(ids)}), len(ids)]
    texts = {"reasoning": "", "content": ""}
    calls: list[list[str]] = []
    for start, end in pairwise(bounds):
        reason: FinishReason | None = "stop" if end == len(ids) else None
        for event in choice.feed(TokenChunk(token_ids=ids[start:end], finish_reason=reason)):
            if isinstance(event, TextDelta):
                texts[event.channel] += event.text
            elif isinstance(event, ToolCallDelta):
                if event.name is not None:
                    assert event.call == len(calls)
                    assert event.call_id is not None
                    calls.append([event.name, ""])
                calls[event.call][1] += event.arguments
            elif isinstance(event, Finished):
                return (
                    texts["reasoning"],
                    texts["content"],
                    [(name, arguments) for name, arguments in calls],
                    event.reason,
                )
    raise AssertionError("no end")


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


def random_cuts(num_tokens: int, seed: int) -> list[int]:
    """Places at which an answer is cut into chunks."""
    source = random.Random(seed)
    return [at for at in range(1, num_tokens) if source.random() < source.choice((0.1, 0.5, 0.9))]
