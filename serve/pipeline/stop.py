"""Stop strings: the stage that ends a choice where one of them appears in its text.

Holds back any suffix that could still become a stop string, so no part of one is ever sent. Tokens
are sent with the text in which they begin; those that begin beyond the cut are not sent at all, and
one that the cut divides is.

Special tokens have no text, and clients name them as stop strings all the same (``<|im_end|>``,
``foo</s>``). Where a stop string spells one, a mark stands for the token in the text: a surrogate,
which no text can hold. It is matched as a whole, counts for no character, and never passes this
stage, but for those that a later one looks for. The name in plain tokens stops, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from serve.pipeline.events import ChoiceEvent, Finished, TextDelta, TokenText
from serve.pipeline.prefixes import Prefixes

MAX_SPELT = 3
"""Most special tokens in one stop string of which each may come as a token or in plain text; of
more, all or none."""
_FIRST_MARK = 0xD800


@dataclass(frozen=True, slots=True)
class StopPatterns:
    """Stop strings with marks.

    Attributes:
        marks: by the ids of the tokens that they stand for.
        names: of these tokens, by their marks.
    """

    strings: tuple[str, ...]
    marks: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def sharing(self, others: Mapping[int, str]) -> StopPatterns:
        """The same with the marks that a later stage has for tokens, where it has any.

        Args:
            others: its marks by the ids of the tokens.
        """
        shared = {mark: others[i] for i, mark in self.marks.items() if i in others}
        change = str.maketrans(shared)
        return StopPatterns(
            tuple([text.translate(change) for text in self.strings]),
            {i: mark.translate(change) for i, mark in self.marks.items()},
            {mark.translate(change): name for mark, name in self.names.items()},
        )


def stop_patterns(strings: Sequence[str], special_ids: Mapping[str, int]) -> StopPatterns:
    """The ways in which stop strings can come in an answer.

    Args:
        strings: as the client wrote them.
        special_ids: ids of special tokens by their names.
    """
    names = [name for name in special_ids if name and any(name in text for text in strings)]
    if not names:
        return StopPatterns(tuple(strings))
    mark_of = {name: chr(_FIRST_MARK + number) for number, name in enumerate(names)}
    longest_first = sorted(names, key=len, reverse=True)
    pattern = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
    patterns: dict[str, None] = {}
    for text in strings:
        parts = pattern.split(text)  # plain text and names in turn
        plain, spelt = parts[::2], parts[1::2]
        marked = [mark_of[name] for name in spelt]
        ways = product(*zip(marked, spelt, strict=True)) if len(spelt) <= MAX_SPELT else None
        for way in ways or (marked, spelt):
            joined = plain[0] + "".join(a + b for a, b in zip(way, plain[1:], strict=True))
            patterns[joined] = None
    return StopPatterns(
        tuple(patterns),
        {special_ids[name]: mark_of[name] for name in names},
        {mark_of[name]: name for name in names},
    )


class StopStrings:
    """Cuts a choice's content at the earliest of the given strings (a Stage).

    Args:
        strings: each non-empty; none at all lets everything pass.
        marks: of special tokens in them, see ``stop_patterns``.
        names: of these tokens, by their marks; for a stop string that is kept.
        keeps_stop: the string that ends the choice is part of its text; of two that begin at one
            place it is the shorter.
        others: marks of a later stage, which count for no character either, and pass this one;
            some may be among ``marks``.
    """

    def __init__(
        self,
        strings: Sequence[str],
        marks: Mapping[int, str] | None = None,
        *,
        names: Mapping[str, str] | None = None,
        keeps_stop: bool = False,
        others: str = "",
    ) -> None:
        marks = marks or {}
        self._strings = tuple(strings)
        self._marks = marks
        self._firsts = frozenset([s[0] for s in self._strings]).union(marks.values())
        own = set(marks.values()) - set(others)
        self._without_marks = dict.fromkeys(map(ord, own))
        self._with_names = {ord(mark): name for mark, name in (names or {}).items()}
        self._keeps_stop = keeps_stop
        self._others = others
        self._held = ""
        # Tokens that begin in what is held, each with the marks that have to pass before it.
        self._waiting: list[tuple[TokenText, int]] = []
        self._num_chars = self._num_marks = 0  # that have passed
        self._num_marked = 0  # tokens that marks stand for, so far
        self._prefixes = Prefixes(self._strings)

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        """The events up to the first stop string, and ``Finished("stop")`` if there is one."""
        passed: list[ChoiceEvent] = []
        for event in events:
            if isinstance(event, TextDelta) and event.channel == "content":
                if not (self._held or self._waiting) and self._firsts.isdisjoint(event.text):
                    self._num_chars += self._length(event.text)
                    passed.append(event)  # nothing of a stop string begins in it
                    continue
                self._wait(event.logprobs)
                text, stop = self._cut(self._held + event.text)
                passed += self._delta(event.index, text, kept=stop if self._keeps_stop else "")
                if stop:
                    return [*passed, Finished(index=event.index, reason="stop")]
            elif isinstance(event, Finished):
                passed += self._delta(event.index, self._held, is_last=True)
                passed.append(event)
            else:
                passed.append(event)
        return passed

    def _wait(self, tokens: Sequence[TokenText]) -> None:
        for token in tokens:
            is_marked = token.token_id in self._marks
            self._num_marked += is_marked
            self._waiting.append((token, self._num_marked if is_marked else 0))

    def _cut(self, text: str) -> tuple[str, str]:
        """The part of a text that is safe to send, and the stop string that ends it, if any."""
        found = [(at, len(s), s) for s in self._strings if (at := text.find(s)) >= 0]
        if found:
            at, _, stop = min(found)
            return text[:at], stop
        keep = self._num_held(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], ""

    def _num_held(self, text: str) -> int:
        """Length of the longest suffix that is a proper prefix of a stop string."""
        return self._prefixes.feed(text[len(self._held) :])

    def _delta(
        self, index: int, text: str, *, kept: str = "", is_last: bool = False
    ) -> list[ChoiceEvent]:
        """Text without its marks, and the tokens that begin in it; nothing where there is neither.

        Args:
            kept: a stop string behind it that is text, too, its special tokens by their names.
            is_last: no text follows: no token waits for any.
        """
        if self._marks:
            self._num_marks += sum(map((text + kept).count, self._marks.values()))
            text = text.translate(self._without_marks)
            kept = kept.translate(self._with_names)
        text += kept
        self._num_chars += self._length(text)
        num_begun = len(self._waiting)
        if not is_last:
            begun = map(self._has_begun, self._waiting)
            num_begun = next((at for at, has in enumerate(begun) if not has), num_begun)
        tokens = tuple(token for token, _ in self._waiting[:num_begun])
        del self._waiting[:num_begun]
        return [TextDelta(index=index, text=text, logprobs=tokens)] if text or tokens else []

    def _length(self, text: str) -> int:
        return len(text) - sum(map(text.count, self._others))

    def _has_begun(self, waiting: tuple[TokenText, int]) -> bool:
        """Whether a token begins in the text that has passed, or stands right behind it."""
        token, num_marks = waiting
        num_chars = self._num_chars if token.raw else self._num_chars + 1
        return token.offset < num_chars and num_marks <= self._num_marks
