"""An answer as a whole: the events of a request, gathered choice by choice."""

from __future__ import annotations

from dataclasses import dataclass, field

from serve.errors import InternalError, RequestError
from serve.pipeline.events import (
    Channel,
    Event,
    Finished,
    PromptTokens,
    TextDelta,
    TokenIds,
    TokenText,
    ToolCallDelta,
)
from serve.timeline import FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedCall:
    """One tool call of an answer that is given as a whole."""

    call_id: str
    name: str
    arguments: str


@dataclass(slots=True)
class CollectedChoice:
    """One choice of an answer that is given as a whole.

    Attributes:
        deltas: all text so far, by its channel.
        tool_calls: all that was said of tool calls, in order.
        token_ids: of all its tokens, where they were asked for.
    """

    index: int
    deltas: dict[Channel, list[str]] = field(default_factory=dict)
    tool_calls: list[ToolCallDelta] = field(default_factory=list)
    logprobs: list[TokenText] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    reason: FinishReason = "stop"

    @property
    def text(self) -> str:
        """The text that it says, without its reasoning."""
        return self.text_of("content")

    def text_of(self, channel: Channel) -> str:
        """The text of a channel; empty where it has none."""
        return "".join(self.deltas.get(channel, ()))

    @property
    def calls(self) -> list[CollectedCall]:
        """The tool calls, in the order in which they began."""
        parts: dict[int, list[ToolCallDelta]] = {}
        for delta in self.tool_calls:
            parts.setdefault(delta.call, []).append(delta)
        return [
            CollectedCall(
                call_id=next((part.call_id for part in call if part.call_id is not None), ""),
                name=next((part.name for part in call if part.name is not None), ""),
                arguments="".join([part.arguments for part in call]),
            )
            for call in parts.values()
        ]


@dataclass(slots=True)
class Answer:
    """All choices so far, in the order of their indices once all are over.

    Attributes:
        prompts: as the model read them, where they were asked for.
    """

    prompts: list[PromptTokens] = field(default_factory=list)
    _by_index: dict[int, CollectedChoice] = field(default_factory=dict)

    @property
    def choices(self) -> list[CollectedChoice]:
        return [choice for _, choice in sorted(self._by_index.items())]

    def add(self, event: Event) -> None:
        """Add an event to its choice.

        Raises:
            RequestError: the choice failed; it is the error that ended it.
        """
        if isinstance(event, TextDelta):
            choice = self._choice(event.index)
            choice.deltas.setdefault(event.channel, []).append(event.text)
            choice.logprobs.extend(event.logprobs)
        elif isinstance(event, ToolCallDelta):
            self._choice(event.index).tool_calls.append(event)
        elif isinstance(event, TokenIds):
            self._choice(event.index).token_ids.extend(event.token_ids)
        elif isinstance(event, PromptTokens):
            self.prompts.append(event)
        elif isinstance(event, Finished):
            if event.reason == "error":
                raise error_of(event)
            self._choice(event.index).reason = event.reason

    def _choice(self, index: int) -> CollectedChoice:
        return self._by_index.setdefault(index, CollectedChoice(index))


def error_of(event: Finished) -> RequestError:
    """The error that ended a choice."""
    return event.error or InternalError("The request failed without a reason: a defect of ours.")
