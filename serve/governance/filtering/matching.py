"""Matching: where the rules hit a folded text, and from where on they still could.

Words are found by Aho-Corasick automatons, one for most files; patterns by RE2, each in one pass:
both in a time linear in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from serve.governance.filtering.rules import Rule
from serve.governance.filtering.spaces import View, plain, view
from serve.governance.filtering.widths import any_of, compiled
from serve.governance.filtering.word_parts import SharedParts, parts_of


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
    """The words of some rules.

    Args:
        shared: has the automatons of large rules.

    Attributes:
        longest: the most characters of a word, as words see it.
        has_spaces: whether there is a space in a word.
    """

    def __init__(self, rules: Iterable[tuple[int, Rule]], shared: SharedParts) -> None:
        self._parts = parts_of(rules, shared)
        self.has_spaces = any(part.has_spaces for part, _ in self._parts)
        self._view = view if self.has_spaces else plain
        self.longest = max((part.longest for part, _ in self._parts), default=0)

    def first(self, text: str, begin: int, *, is_last: bool, edge: int = 0) -> Hit | None:
        """The first hit among those that end behind ``begin``.

        Args:
            is_last: the text ends there; else a word at its end may go on.
            edge: a place at which a word may begin, whatever stands before it.
        """
        if not self._parts:
            return None
        seen = self._view(text)
        first: Hit | None = None
        for hits in self._hits(seen, begin, is_last=is_last, edge=edge):
            for hit in hits:
                if first is not None and hit.end - self.longest > first.start:
                    break  # whatever ends from here on begins behind it
                if seen.end(hit.end) > begin and (first is None or hit < first):
                    first = hit
        return None if first is None else _placed(first, seen)

    def hits(self, text: str, begin: int, *, is_last: bool, edge: int = 0) -> Iterator[Hit]:
        """All hits that end behind ``begin``, or there."""
        if not self._parts:
            return
        seen = self._view(text)
        for hit in chain.from_iterable(self._hits(seen, begin, is_last=is_last, edge=edge)):
            yield _placed(hit, seen)

    def _hits(self, seen: View, begin: int, *, is_last: bool, edge: int) -> Iterator[Iterator[Hit]]:
        """The hits in a view, by their ends: part by part."""
        edge_at = seen.at(edge)
        own_edge = edge_at if seen.place(edge_at) == edge else -1
        for part, numbers in self._parts:
            yield (
                Hit(start, end, numbers[place])
                for start, end, place in part.hits(
                    seen.text, seen.at(begin), is_last=is_last, edge=own_edge
                )
            )

    def open_from(self, text: str) -> int:
        """The place of the earliest word that the text's end may have begun, or may have ended."""
        if not self._parts:
            return len(text)
        seen = self._view(text)
        return seen.place(min(part.open_from(seen.text) for part, _ in self._parts))

    def kept_from(self, text: str, num_chars: int) -> int:
        """The place from which on a text has so many characters, as words see it, or 0."""
        seen = self._view(text)
        return seen.place(max(0, len(seen.text) - num_chars))


def _placed(hit: Hit, seen: View) -> Hit:
    return Hit(seen.place(hit.start), seen.end(hit.end), hit.number)


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

    def all(self, text: str) -> Iterator[Hit]:
        """The places of each pattern, none of which overlap."""
        for number, pattern, _ in self._patterns:
            for found in pattern.finditer(text):
                start, end = found.span()
                yield Hit(start, end, number)

    def open_from(self, text: str) -> int:
        """The place from which on a match may still begin and not have ended."""
        return max(0, len(text) - self.longest + 1) if self._patterns else len(text)


class Matcher:
    """The rules for one tenant and one direction.

    Args:
        rules: in their order: of two that hit the same place, the first is told.
        only_counts: each rule counts, whatever its action is.
        shared: automatons that other matchers have, too.

    Attributes:
        rules: by their numbers.
        longest: the most folded characters that a hit has.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        only_counts: bool = False,
        shared: SharedParts | None = None,
    ) -> None:
        self.rules = tuple(rules)
        shared = shared or SharedParts()
        numbered = list(enumerate(self.rules))
        blocking = [] if only_counts else [p for p in numbered if p[1].action == "block"]
        counting = [p for p in numbered if only_counts or p[1].action != "block"]
        self._words, self._patterns = Words(blocking, shared), Patterns(blocking)
        self._counted_words = Words(counting, shared)
        self._counted_patterns = Patterns(counting)
        self.blocks = bool(blocking)
        self._num_counting = len(counting)
        self._spaced = [own for own in (self._words, self._counted_words) if own.has_spaces]
        parts = (self._words, self._patterns, self._counted_words, self._counted_patterns)
        self.longest = max(part.longest for part in parts)

    def blocked(self, text: str, begin: int, *, is_last: bool, edge: int = 0) -> Hit | None:
        """The first hit of a rule that blocks, among those that end behind ``begin``.

        Args:
            edge: a place at which a word may begin, whatever stands before it.
        """
        first = self._words.first(text, begin, is_last=is_last, edge=edge)
        return min(filter(None, (first, *self._patterns.hits(text, begin))), default=None)

    def kept_from(self, text: str) -> int:
        """The place from which on a text's end has all that what follows may be matched with."""
        num_chars = self.longest + 1
        if len(text) <= num_chars:
            return 0
        kept = (own.kept_from(text, num_chars) for own in self._spaced)
        return min(kept, default=len(text) - num_chars)

    def open_from(self, text: str) -> int:
        """The place from which on a rule that blocks may still come to hit."""
        return min(self._words.open_from(text), self._patterns.open_from(text))

    def counted(self, text: str, begin: int, end: int, *, is_last: bool, edge: int = 0) -> set[int]:
        """Numbers of the rules that count and hit the text before ``end``.

        Args:
            begin: what ended before it has been counted.
            is_last: nothing follows the text; what follows ``end`` is in it all the same.
            edge: what ends there or before is not counted; a word may begin there, whatever
                stands before it.
        """
        found: set[int] = set()
        if not self._num_counting:
            return found
        words = self._counted_words.hits(text[: end + 1], begin, is_last=is_last, edge=edge)
        for hit in words:
            if begin <= hit.end <= end and hit.end > edge:
                found.add(hit.number)
                if len(found) == self._num_counting:
                    break
        found.update(hit.number for hit in self._counted_patterns.hits(text[:end], begin))
        return found

    def counted_across(self, text: str, place: int, *, is_last: bool, edge: int = 0) -> set[int]:
        """Numbers of the rules that count and hit what begins before a place and ends behind it."""
        words = self._counted_words.hits(text, place, is_last=is_last, edge=edge)
        hits = chain(words, self._counted_patterns.hits(text, place))
        return {hit.number for hit in hits if hit.start < place < hit.end}

    def all_hits(self, text: str) -> list[Hit]:
        """All places of a whole text that rules hit, in order, whatever their actions are."""
        hits: set[Hit] = set()
        for words in (self._words, self._counted_words):
            hits.update(words.hits(text, 0, is_last=True))
        for patterns in (self._patterns, self._counted_patterns):
            hits.update(patterns.all(text))
        return sorted(hits)
