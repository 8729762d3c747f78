"""Matching: where the rules hit a folded text, and from where on they still could.

Words are found by one Aho-Corasick automaton, however many there are; patterns by RE2, each in one
pass: both in a time linear in the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ahocorasick

from serve.governance.filtering.folding import folded, is_word_char
from serve.governance.filtering.rules import Rule
from serve.governance.filtering.widths import any_of, compiled


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """A place that a rule hits, in folded characters.

    Attributes:
        number: of the rule.
    """

    start: int
    end: int
    number: int


class Words:
    """The words of some rules."""

    def __init__(self, rules: Iterable[tuple[int, Rule]]) -> None:
        entries: dict[str, list[tuple[int, int, bool]]] = {}
        for number, rule in rules:
            for form in forms_of(rule.words):
                entries.setdefault(form, []).append((len(form), number, rule.is_whole))
        self.longest = max(map(len, entries), default=0)
        self._firsts = frozenset(form[0] for form in entries)
        self._automaton: Any = None
        if entries:
            self._automaton = ahocorasick.Automaton()
            for form, values in entries.items():
                self._automaton.add_word(form, values)
            self._automaton.make_automaton()

    def hits(self, text: str, begin: int, *, is_last: bool) -> Iterator[Hit]:
        """All places that end behind ``begin``, or there, by their ends.

        Args:
            is_last: the text ends there; else a word at its end may go on.
        """
        if self._automaton is None:
            return
        for last, values in self._automaton.iter(text, max(0, begin - self.longest)):
            end = last + 1
            for length, number, is_whole in values:
                start = end - length
                if not is_whole or _is_whole(text, start, end, is_last=is_last):
                    yield Hit(start, end, number)

    def open_from(self, text: str) -> int:
        """The place of the earliest word that the text's end may have begun, or may have ended."""
        for start in range(max(0, len(text) - self.longest), len(text)):
            if text[start] in self._firsts and self._automaton.match(text[start:]):
                return start
        return len(text)


class Patterns:
    """The patterns of some rules."""

    def __init__(self, rules: Iterable[tuple[int, Rule]]) -> None:
        self._patterns = [
            (number, *compiled(pattern)) for number, rule in rules for pattern in rule.patterns
        ]
        self.longest = max((width for _, _, width in self._patterns), default=0)
        self._any = any_of([pattern.pattern for _, pattern, _ in self._patterns])

    def hits(self, text: str, begin: int) -> Iterator[Hit]:
        """The first place of each pattern that ends behind ``begin``."""
        if self._any is None or self._any.search(text, max(0, begin - self.longest + 1)) is None:
            return  # most often, and by one pass
        for number, pattern, width in self._patterns:
            at = max(0, begin - width + 1)
            while (found := pattern.search(text, at)) is not None:
                start, end = found.span()
                if end > begin:
                    yield Hit(start, end, number)
                    break
                at = start + 1

    def open_from(self, text: str) -> int:
        """The place from which on a match may still begin and not have ended."""
        return max(0, len(text) - self.longest + 1) if self._patterns else len(text)


class Matcher:
    """The rules for one tenant and one direction.

    Args:
        rules: in their order: of two that hit the same place, the first is told.
        only_counts: each rule counts, whatever its action is.

    Attributes:
        rules: by their numbers.
        longest: the most folded characters that a hit has.
    """

    def __init__(self, rules: Sequence[Rule], *, only_counts: bool = False) -> None:
        self.rules = tuple(rules)
        numbered = list(enumerate(self.rules))
        blocking = [] if only_counts else [p for p in numbered if p[1].action == "block"]
        counting = [pair for pair in numbered if pair not in blocking]
        self._words, self._patterns = Words(blocking), Patterns(blocking)
        self._counted_words, self._counted_patterns = Words(counting), Patterns(counting)
        self.blocks = bool(blocking)
        self._num_counting = len(counting)
        parts = (self._words, self._patterns, self._counted_words, self._counted_patterns)
        self.longest = max(part.longest for part in parts)

    def blocked(self, text: str, begin: int, *, is_last: bool) -> Hit | None:
        """The first hit of a rule that blocks, among those that end behind ``begin``."""
        first: Hit | None = None
        for hit in self._words.hits(text, begin, is_last=is_last):
            if first is not None and hit.end - self._words.longest > first.start:
                break  # whatever ends from here on begins behind it
            if hit.end > begin and (first is None or hit < first):
                first = hit
        return min(filter(None, (first, *self._patterns.hits(text, begin))), default=None)

    def open_from(self, text: str) -> int:
        """The place from which on a rule that blocks may still come to hit."""
        return min(self._words.open_from(text), self._patterns.open_from(text))

    def counted(self, text: str, begin: int, end: int, *, is_last: bool) -> set[int]:
        """Numbers of the rules that count and hit the text before ``end``.

        Args:
            begin: what ended before it has been counted.
            is_last: nothing follows the text; what follows ``end`` is in it all the same.
        """
        found: set[int] = set()
        for hit in self._counted_words.hits(text[: end + 1], begin, is_last=is_last):
            if begin <= hit.end <= end:
                found.add(hit.number)
                if len(found) == self._num_counting:
                    break
        found.update(hit.number for hit in self._counted_patterns.hits(text[:end], begin))
        return found


def forms_of(words: Iterable[str]) -> list[str]:
    """Folded words, each composed and decomposed where that differs."""
    forms: dict[str, None] = {}
    for word in words:
        forms[folded(unicodedata.normalize("NFC", word))] = None
        forms["".join(folded(char) for char in unicodedata.normalize("NFD", word))] = None
    return [form for form in forms if form]


def _is_whole(text: str, start: int, end: int, *, is_last: bool) -> bool:
    """Whether no word goes on at either side; at the text's end that is known where it is over."""
    if start and is_word_char(text[start - 1]) and is_word_char(text[start]):
        return False
    if not is_word_char(text[end - 1]):
        return True
    return is_last if end == len(text) else not is_word_char(text[end])
