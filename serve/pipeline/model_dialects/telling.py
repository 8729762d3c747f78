"""Events that a parser makes of an answer: text by channel, calls, the tokens that came along."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from serve.pipeline.events import Channel, ChoiceEvent, TextDelta, TokenText, ToolCallDelta

NewId = Callable[[], str]
_SURROGATE = re.compile(r"[\ud800-\udfff]")
Tell = Callable[[str | None, str], None]
"""Takes a call's name, in its first telling, and more of its arguments' text."""


def new_call_id() -> str:
    """An id for a tool call, as OpenAI's look."""
    return f"call_{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class _Kept:
    """The state at which something began to be held back."""

    num_events: int
    space: str
    has_content: bool
    num_calls: int


class Telling:
    """Gathers the events that reading an answer gives.

    Args:
        index: of the choice.
        shows_reasoning: whether reasoning is told.
        marks: characters that stand for special tokens, none of which is ever told.
        new_id: makes the ids of calls.

    Attributes:
        logprobs: tokens that no text was told with yet.
        num_calls: calls so far.
        has_content: whether content has begun, since the last call if there was one.
        is_reasoning: whether what comes next is reasoning.
    """

    def __init__(self, *, index: int, shows_reasoning: bool, marks: str, new_id: NewId) -> None:
        self._index = index
        self._shows_reasoning = shows_reasoning
        self._without_marks = dict.fromkeys(map(ord, marks))
        self._new_id = new_id
        self._events: list[ChoiceEvent] = []
        self._space = ""
        self._is_closed = False
        self._kept: _Kept | None = None
        self._releases_at_call = False
        self.logprobs: list[TokenText] = []
        self.num_calls = 0
        self.has_content = False
        self.is_reasoning = False

    @property
    def is_held(self) -> bool:
        """Whether what is told is held back."""
        return self._kept is not None

    @property
    def is_holding(self) -> bool:
        """Whether something is held back."""
        return self._kept is not None

    def taken(self) -> list[ChoiceEvent]:
        """The events since the last time, but for those that are held."""
        if self._kept is None:
            events, self._events = self._events, []
            return events
        num_told = self._kept.num_events
        if not num_told:
            return []  # what is held may be long, and is not copied at each step
        events, self._events = self._events[:num_told], self._events[num_told:]
        self._kept = replace(self._kept, num_events=0)
        return events

    def hold(self, *, releases_at_call: bool) -> None:
        """Hold back what is told from here on, until ``release`` or ``restore``.

        Args:
            releases_at_call: as soon as a call is told of, it is released.
        """
        self._kept = _Kept(len(self._events), self._space, self.has_content, self.num_calls)
        self._releases_at_call = releases_at_call

    def release(self) -> None:
        """Let go of what is held."""
        self._kept = None

    def restore(self) -> None:
        """Forget what is held, as if nothing had been told of it."""
        kept, self._kept = self._kept, None
        if kept is not None:
            del self._events[kept.num_events :]
            self._space, self.has_content = kept.space, kept.has_content
            self.num_calls = kept.num_calls

    def rest(self) -> list[ChoiceEvent]:
        """Tokens that no text was told with, at the end."""
        if not self.logprobs:
            return []
        tokens, self.logprobs = tuple(self.logprobs), []
        return [TextDelta(index=self._index, text="", logprobs=tokens)]

    def say(self, channel: Channel, text: str) -> None:
        """Tell text. White space that content begins with waits: it is nothing before a call."""
        text = text.translate(self._without_marks)
        if channel == "content" and not self.has_content:
            text, self._space = self._space + text, ""
            if self.num_calls:
                text = text.lstrip()  # what the template writes behind a call
            if not text.strip():
                self._space = text
                return
            self.has_content = True
        self._tell_text(channel, text)

    def close_content(self) -> None:
        """Note that the content has been closed: white space behind it is none."""
        self.has_content, self._is_closed = False, True

    def finish(self) -> None:
        """Tell the white space that waits, where the answer is nothing else."""
        if self._space and not self.num_calls and not self._is_closed:
            self._tell_text("content", self._space)
        self._space = ""

    def call(self) -> Tell:
        """Tells of the next call."""
        number = self.num_calls

        def tell(name: str | None, text: str) -> None:
            # A surrogate that is no mark comes from an escape, and is no text that can be sent.
            text = _SURROGATE.sub("\ufffd", text.translate(self._without_marks))
            call_id = None
            if name is not None:
                if self._releases_at_call:
                    self.release()
                self._space, self.has_content = "", False
                self.num_calls = number + 1
                call_id = self._new_id()
            elif not text:
                return
            self._events.append(
                ToolCallDelta(
                    index=self._index, call=number, call_id=call_id, name=name, arguments=text
                )
            )

        return tell

    def _tell_text(self, channel: Channel, text: str) -> None:
        if not text:
            return
        tokens, self.logprobs = tuple(self.logprobs), []
        if channel == "reasoning" and not self._shows_reasoning:
            return  # its tokens would say it, too
        self._events.append(
            TextDelta(index=self._index, text=text, channel=channel, logprobs=tokens)
        )
