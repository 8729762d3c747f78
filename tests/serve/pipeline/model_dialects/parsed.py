"""An answer as a reader of the parser's events sees it, whatever the pieces in which it came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any, cast

from serve.pipeline.events import Channel, Finished, TextDelta, TokenText, ToolCallDelta
from serve.pipeline.model_dialects.dialect import ModelDialect
from serve.pipeline.model_dialects.parsing import AnswerParser
from serve.timeline import FinishReason

TOOLS: dict[str, dict[str, Any] | None] = {
    "get": {
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "deep": {"type": "object"},
        }
    },
    "f": None,
}


@dataclass
class Parsed:
    """An answer that was read.

    Attributes:
        calls: names and texts of arguments.
        tokens: ids of the tokens that were told, in their order.
    """

    texts: list[tuple[Channel, str]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[int | None] = field(default_factory=list)
    reason: str | None = None

    @property
    def content(self) -> str:
        return "".join(text for channel, text in self.texts if channel == "content")

    @property
    def reasoning(self) -> str:
        return "".join(text for channel, text in self.texts if channel == "reasoning")

    def add(self, event: Any) -> None:
        assert self.reason is None, "nothing comes after the end"
        if isinstance(event, Finished):
            self.reason = event.reason
        elif isinstance(event, ToolCallDelta):
            assert (event.name is None) == (event.call_id is None)
            if event.name is not None:
                assert event.call == len(self.calls)
                self.calls.append((event.name, ""))
            name, arguments = self.calls[event.call]
            self.calls[event.call] = (name, arguments + event.arguments)
        elif isinstance(event, TextDelta):
            assert event.text or event.logprobs, "an event that says nothing"
            self.tokens += [token.token_id for token in event.logprobs]
            if event.text and self.texts and self.texts[-1][0] == event.channel:
                self.texts[-1] = (event.channel, self.texts[-1][1] + event.text)
            elif event.text:
                self.texts.append((event.channel, event.text))


def parsed(
    dialect: ModelDialect,
    text: str,
    cuts: Sequence[int] = (),
    *,
    reason: str = "stop",
    tools: Any = TOOLS,
    **options: Any,
) -> Parsed:
    """A text that was read in pieces, each with a token of its own.

    Args:
        cuts: where the pieces begin.
        options: of the parser.
    """
    numbers = count()
    parser = AnswerParser(
        index=0, dialect=dialect, tools=tools, new_id=lambda: f"call_{next(numbers)}", **options
    )
    seen = Parsed()
    bounds = [0, *sorted({cut for cut in cuts if 0 < cut < len(text)}), len(text)]
    for number, (start, end) in enumerate(pairwise(bounds)):
        token = TokenText(text="", raw=b"", logprob=0.0, token_id=number)
        for event in parser.feed([TextDelta(index=0, text=text[start:end], logprobs=(token,))]):
            seen.add(event)
        if seen.reason is not None:
            return seen
    for event in parser.feed([Finished(index=0, reason=cast("FinishReason", reason))]):
        seen.add(event)
    return seen


def one_by_one(dialect: ModelDialect, text: str, **options: Any) -> Parsed:
    """A text that was read character by character."""
    return parsed(dialect, text, range(len(text)), **options)
