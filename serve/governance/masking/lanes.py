"""Stages that rewrite the texts of a choice, each a stream of its own: content, reasoning, calls.

What one text holds back comes before the next one begins, and before the end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from serve.errors import MaskingFailed
from serve.pipeline.events import (
    Channel,
    ChoiceEvent,
    Finished,
    TextDelta,
    TokenIds,
    ToolCallDelta,
)

log = logging.getLogger(__name__)

Lane = Channel | int
"""A channel of the text, or the number of a tool call."""


class TextStream(Protocol):
    """A text that is rewritten piece by piece."""

    def feed(self, piece: str) -> str: ...

    def finish(self) -> str: ...

    @property
    def blocked(self) -> str | None:
        """The rule that ended it; None where none did."""
        ...


class Rewritten:
    """Rewrites each text of a choice by a stream of its own (a Stage).

    A stream that fails ends the choice with an error, and no text that it was given passes.

    Args:
        stream: makes the stream of a lane.
        hides_tokens: ids of tokens are those of the text before: zeros stand for them, so that
            they can be counted and not read.
        on_failure: told where a stream fails.
    """

    def __init__(
        self,
        stream: Callable[[Lane], TextStream],
        *,
        hides_tokens: bool = False,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._make = stream
        self._on_failure = on_failure
        self._hides_tokens = hides_tokens
        self._streams: dict[Lane, TextStream] = {}
        self._lane: Lane | None = None

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        """The events with their texts rewritten."""
        passed: list[ChoiceEvent] = []
        index = events[0].index if events else 0
        try:
            for event in events:
                if self._pass(event, passed):
                    break
        except Exception as error:
            # Types and places are logged, and no text: it may be what was to be masked.
            log.error("masking of an answer failed", exc_info=error)  # noqa: TRY400
            self._on_failure()
            failed = MaskingFailed("The answer could not be masked, so the rest of it is not sent.")
            passed.append(Finished(index=index, reason="error", error=failed))
        return passed

    def _pass(self, event: ChoiceEvent, passed: list[ChoiceEvent]) -> bool:
        """Rewrite an event. Whether it is the last one that comes."""
        if isinstance(event, TextDelta):
            self._turn(event.index, event.channel, passed)
            text = self._stream(event.channel).feed(event.text)
            if text or event.logprobs:
                passed.append(replace(event, text=text))
            return self._is_blocked(event.index, event.channel, passed)
        if isinstance(event, ToolCallDelta):
            self._turn(event.index, event.call, passed)
            text = self._stream(event.call).feed(event.arguments)
            if text or event.name is not None or event.call_id is not None:
                passed.append(replace(event, arguments=text))
            return self._is_blocked(event.index, event.call, passed)
        if self._hides_tokens and isinstance(event, TokenIds):
            event = replace(event, token_ids=(0,) * len(event.token_ids))
        if isinstance(event, Finished) and self._turn(event.index, None, passed):
            return True
        passed.append(event)
        return isinstance(event, Finished)

    def _turn(self, index: int, lane: Lane | None, passed: list[ChoiceEvent]) -> bool:
        """Give up what the lane so far holds, where another one goes on. Whether that ended it."""
        before, self._lane = self._lane, lane
        if before is None or before == lane:
            return False
        text = self._stream(before).finish()
        if text and isinstance(before, int):
            passed.append(ToolCallDelta(index=index, call=before, arguments=text))
        elif text and not isinstance(before, int):
            passed.append(TextDelta(index=index, text=text, channel=before))
        return self._is_blocked(index, before, passed)

    def _is_blocked(self, index: int, lane: Lane, passed: list[ChoiceEvent]) -> bool:
        if self._stream(lane).blocked is None:
            return False
        passed.append(Finished(index=index, reason="content_filter"))
        return True

    def _stream(self, lane: Lane) -> TextStream:
        stream = self._streams.get(lane)
        if stream is None:
            stream = self._streams[lane] = self._make(lane)
        return stream
