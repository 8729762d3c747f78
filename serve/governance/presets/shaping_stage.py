"""The stages of rules for answers: shapes on a choice's content."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from serve.governance.presets.preset_rules import AnswerRules
from serve.governance.presets.shaping import Cut, Shape, StripFence, StripWhitespace
from serve.pipeline.events import ChoiceEvent, Finished, TextDelta, TokenText


def shapes_of(rules: AnswerRules) -> list[Shape]:
    """The shapes of one choice's content, in order: a fence, white space, the length."""
    shapes: list[Shape] = []
    if "code_fence" in rules.strip:
        shapes.append(StripFence())
    if "whitespace" in rules.strip:
        shapes.append(StripWhitespace())
    if rules.max_chars is not None:
        shapes.append(Cut(rules.max_chars, rules.cut_at))
    return shapes


class ContentStage:
    """Brings a choice's content into one shape (a Stage).

    Tokens are told when all of their text is told or taken off; those of a content that is cut are
    not told from the cut on.
    """

    def __init__(self, index: int, shape: Shape) -> None:
        self._index = index
        self._shape = shape
        self._num_chars = self._num_told = 0
        self._tokens: deque[tuple[int, TokenText]] = deque()

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        """The events, and ``Finished("length")`` where the content is cut."""
        told: list[ChoiceEvent] = []
        for event in events:
            if isinstance(event, TextDelta) and event.channel == "content":
                self._num_chars += len(event.text)
                self._tokens += [(self._num_chars, token) for token in event.logprobs]
                told += self._delta(self._shape.feed(event.text))
                if self._shape.is_over:
                    return [*told, Finished(index=self._index, reason="length")]
                continue
            if isinstance(event, Finished):
                told += self._delta(self._shape.finish())
            told.append(event)
        return told

    def _delta(self, text: str) -> list[ChoiceEvent]:
        self._num_told += len(text)
        # A cut leaves the first characters, and what it leaves out is held by nobody.
        is_cut = self._shape.is_over
        num_known = self._num_told if is_cut else self._num_chars - self._shape.num_held
        tokens: list[TokenText] = []
        while self._tokens and self._tokens[0][0] <= num_known:
            tokens.append(self._tokens.popleft()[1])
        if not text and not tokens:
            return []
        return [TextDelta(index=self._index, text=text, logprobs=tuple(tokens))]
