"""Parts of word lists, an automaton each: made once for all matchers that have the list.

An automaton is made while the interpreter's lock is held, so a long list comes in several parts,
between which the event loop has its turn.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import ahocorasick

from serve.governance.filtering.folding import folded, is_word_char
from serve.governance.filtering.rules import Rule
from serve.governance.filtering.spaces import squeezed

PART_WORDS: Final = 20_000
"""Most words of a part: 0.1 s of lists as people write them, 0.4 s of the worst."""
LARGE_WORDS: Final = 2000
"""A rule of more has parts of its own, which other matchers share."""

Numbered = tuple[int, Rule]


class WordPart:
    """Words of some rules in one automaton.

    Args:
        words: by the place of their rule in ``numbers``, with whether they are whole.

    Attributes:
        longest: the most characters of a word.
        has_spaces: whether there is a space in a word: texts have to be squeezed (spaces.py).
    """

    def __init__(self, words: Iterable[tuple[int, Sequence[str], bool]]) -> None:
        entries: dict[str, list[tuple[int, int, bool]]] = {}
        for place, own, is_whole in words:
            for form in forms_of(own):
                entries.setdefault(form, []).append((len(form), place, is_whole))
        self.longest = max(map(len, entries), default=0)
        self.has_spaces = any(" " in form for form in entries)
        self._firsts = frozenset(form[0] for form in entries)
        self._automaton: Any = ahocorasick.Automaton()
        for form, values in entries.items():
            self._automaton.add_word(form, values)
        if entries:
            self._automaton.make_automaton()

    def hits(
        self, text: str, begin: int, *, is_last: bool, edge: int = 0
    ) -> Iterator[tuple[int, int, int]]:
        """Start, end and place of the rule of all that end behind ``begin``, by their ends.

        Args:
            edge: a place at which a word may begin, whatever stands before it.
        """
        if not self.longest:
            return
        for last, values in self._automaton.iter(text, max(0, begin - self.longest)):
            end = last + 1
            for length, place, is_whole in values:
                start = end - length
                if not is_whole or _is_whole(text, start, end, is_last=is_last, edge=edge):
                    yield start, end, place

    def open_from(self, text: str) -> int:
        """The place of the earliest word that the text's end may have begun, or may have ended."""
        for start in range(max(0, len(text) - self.longest), len(text)):
            if text[start] in self._firsts and self._automaton.match(text[start:]):
                return start
        return len(text)


class SharedParts:
    """The parts of large rules, made when they are first asked for. Safe for several threads."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[Rule, list[WordPart]]] = {}
        self._lock = threading.Lock()

    def of(self, rule: Rule) -> list[WordPart]:
        """The parts of a rule, in all of which it has place 0."""
        with self._lock:
            if id(rule) not in self._parts:
                words = rule.words
                slices = [words[at : at + PART_WORDS] for at in range(0, len(words), PART_WORDS)]
                parts = [WordPart([(0, own, rule.is_whole)]) for own in slices]
                self._parts[id(rule)] = rule, parts  # with the rule, so that its id stays its own
            return self._parts[id(rule)][1]


def parts_of(rules: Iterable[Numbered], shared: SharedParts) -> list[tuple[WordPart, list[int]]]:
    """The parts of some rules, each with the numbers of the rules at its places."""
    found: list[tuple[WordPart, list[int]]] = []
    small: list[Numbered] = []
    for number, rule in rules:
        if len(rule.words) > LARGE_WORDS:
            found += [(part, [number]) for part in shared.of(rule)]
            continue
        if small and sum(len(one.words) for _, one in small) + len(rule.words) > PART_WORDS:
            found.append(_joined(small))
            small = []
        if rule.words:
            small.append((number, rule))
    return [*found, _joined(small)] if small else found


def _joined(rules: Sequence[Numbered]) -> tuple[WordPart, list[int]]:
    words = [(place, rule.words, rule.is_whole) for place, (_, rule) in enumerate(rules)]
    return WordPart(words), [number for number, _ in rules]


def forms_of(words: Iterable[str]) -> list[str]:
    """Folded words, each composed and decomposed where that differs; with single spaces."""
    forms: dict[str, None] = {}
    for word in words:
        forms[squeezed(folded(unicodedata.normalize("NFC", word)))] = None
        decomposed = "".join(folded(char) for char in unicodedata.normalize("NFD", word))
        forms[squeezed(decomposed)] = None
    return [form for form in forms if form]


def _is_whole(text: str, start: int, end: int, *, is_last: bool, edge: int) -> bool:
    """Whether no word goes on at either side; at the text's end that is known where it is over."""
    if start and start != edge and is_word_char(text[start - 1]) and is_word_char(text[start]):
        return False
    if not is_word_char(text[end - 1]):
        return True
    return is_last if end == len(text) else not is_word_char(text[end])
