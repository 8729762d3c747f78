"""Stop strings: the stage that ends a choice where one of them appears in its text.

Holds back any suffix that could still become a stop string, so no part of one is ever sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from serve.pipeline.events import ChoiceEvent, Finished, TextDelta
from serve.pipeline.prefixes import Prefixes


class StopStrings:
    """Cuts a choice's content at the earliest of the given strings (a Stage).

    Args:
        strings: each non-empty; none at all lets everything pass.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(strings)
        self._firsts = frozenset(s[0] for s in strings)
        self._held = ""
        self._prefixes = Prefixes(self._strings)

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        """The events up to the first stop string, and ``Finished("stop")`` if there is one."""
        passed: list[ChoiceEvent] = []
        for event in events:
            if isinstance(event, TextDelta) and event.channel == "content":
                if not self._held and self._firsts.isdisjoint(event.text):
                    passed.append(event)  # nothing of a stop string begins in it
                    continue
                text, is_stopped = self._cut(self._held + event.text)
                passed += _delta(event, text)
                if is_stopped:
                    return [*passed, Finished(index=event.index, reason="stop")]
            elif isinstance(event, Finished):
                if self._held:
                    passed.append(TextDelta(index=event.index, text=self._held))
                passed.append(event)
            else:
                passed.append(event)
        return passed

    def _cut(self, text: str) -> tuple[str, bool]:
        """The part of a text that is safe to send, and whether a stop string ends it."""
        cut = min((at for s in self._strings if (at := text.find(s)) >= 0), default=-1)
        if cut >= 0:
            return text[:cut], True
        keep = self._num_held(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def _num_held(self, text: str) -> int:
        """Length of the longest suffix that is a proper prefix of a stop string."""
        return self._prefixes.feed(text[len(self._held) :])


def _delta(event: TextDelta, text: str) -> list[ChoiceEvent]:
    """The event with another text; nothing where neither text nor log-probabilities are left."""
    return [replace(event, text=text)] if text or event.logprobs else []
