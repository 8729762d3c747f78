"""Text that comes in pieces, read from the front by straight-line code.

What reads is a generator: it yields where it needs more text than has come, and goes on when
there is more. So a parser is written as if all the text were there, and any pieces give the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

T = TypeVar("T")
Wait = Generator[None, None, T]
"""A reading that may wait for more text, and gives a T in the end."""

_STRUCTURE = re.compile(r'["{}\[\]]')
_IN_STRING = re.compile(r'["\\]')
_SCALAR_END = re.compile(r"[\s,}\]]")
_SPACE = " \t\r\n"


class MalformedError(Exception):
    """What came is not what it has to be at this place."""


class EndedError(MalformedError):
    """The text ended in the middle."""


class Reader:
    """Text so far, and a place in it.

    Attributes:
        text: what has come and may still be needed.
        at: the place; what is before it is read.
        is_over: whether no more comes.
    """

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.is_over = False

    def add(self, text: str) -> None:
        self.text += text

    def forget(self) -> None:
        """Let go of what is read."""
        self.text, self.at = self.text[self.at :], 0

    @property
    def rest(self) -> str:
        return self.text[self.at :]

    def more(self) -> Wait[None]:
        """Wait for more text. Raises EndedError where none comes."""
        if self.is_over:
            raise EndedError
        yield

    def peek(self) -> Wait[str]:
        """The next character. Raises EndedError at the end."""
        while self.at >= len(self.text):
            yield from self.more()
        return self.text[self.at]

    def skip_space(self) -> Wait[str]:
        """The next character that is no white space, which becomes the place."""
        while True:
            character = yield from self.peek()
            if character not in _SPACE:
                return character
            self.at += 1

    def match(self, literal: str) -> Wait[bool]:
        """Whether a literal stands here, white space in either apart; reads it if so.

        At the end of the text a literal of nothing but white space stands everywhere.
        """
        start = self.at
        try:
            for character in literal:
                if character in _SPACE:
                    continue
                if (yield from self.skip_space()) != character:
                    self.at = start
                    return False
                self.at += 1
        except EndedError:
            self.at = start
            return False
        return True

    def match_as_far(self, literal: str) -> Wait[None]:
        """Read a literal, or the beginning of it that the text ends with."""
        if (yield from self.match(literal)) or not self.is_over:
            return
        rest = "".join(self.rest.split())
        if rest and "".join(literal.split()).startswith(rest):
            self.at = len(self.text)

    def expect(self, literal: str) -> Wait[None]:
        """Read a literal. Raises MalformedError where it does not stand here."""
        if not (yield from self.match(literal)):
            raise EndedError if self.is_over and not self.rest.strip() else MalformedError

    def until(self, ends: Sequence[str], most: int) -> Wait[tuple[str, str]]:
        """The text before the first of some literals, and which it was; neither is left.

        Raises:
            MalformedError: more than ``most`` characters came without one.
            EndedError: the text ended without one.
        """
        while True:
            found = first_of(self.text, ends, self.at)
            if found is not None and not (
                not self.is_over and could_grow(self.text, found[0], found[1], ends)
            ):
                start, end = found
                text, self.at = self.text[self.at : start], start + len(end)
                return text, end
            if len(self.text) - self.at > most:
                raise MalformedError
            yield from self.more()

    def string(self) -> Wait[str]:
        """The JSON text of a string that begins here, quotes included."""
        parts: list[str] = []
        yield from self.raw_value(parts.append)
        return "".join(parts)

    def raw_value(self, tell: Callable[[str], None]) -> Wait[None]:
        """Read a JSON value as it is written, telling its text as it comes.

        Brackets and quotes are followed, and nothing else is checked.
        """
        first = yield from self.skip_space()
        if first not in '"{[':
            yield from self._scalar(tell)
            return
        depth, is_string = 0, False
        while True:
            match = (_IN_STRING if is_string else _STRUCTURE).search(self.text, self.at)
            if match is None:
                tell(self._taken(len(self.text)))
                yield from self.more()
                continue
            character = match[0]
            if character == "\\":
                if match.end() >= len(self.text):
                    tell(self._taken(match.start()))
                    yield from self.more()
                    continue
                tell(self._taken(match.end() + 1))
                continue
            tell(self._taken(match.end()))
            if character == '"':
                is_string = not is_string
            else:
                depth += 1 if character in "{[" else -1
            if depth <= 0 and not is_string:
                return

    def _scalar(self, tell: Callable[[str], None]) -> Wait[None]:
        while True:
            match = _SCALAR_END.search(self.text, self.at)
            if match is not None:
                tell(self._taken(match.start()))
                return
            tell(self._taken(len(self.text)))
            if self.is_over:
                return
            yield

    def _taken(self, end: int) -> str:
        text, self.at = self.text[self.at : end], end
        return text


def first_of(text: str, ends: Sequence[str], at: int) -> tuple[int, str] | None:
    """The earliest of some literals in a text, the longest of those that begin there."""
    found = [(start, -len(end), end) for end in ends if (start := text.find(end, at)) >= 0]
    if not found:
        return None
    start, _, end = min(found)
    return start, end


def could_grow(text: str, start: int, end: str, ends: Sequence[str]) -> bool:
    """Whether what was found could still be the beginning of a longer literal, or stand inside one
    that began before it.
    """
    tail = text[start:]
    return any(len(other) > len(end) and other.startswith(tail) for other in ends)


def held(text: str, at: int, literals: Sequence[str]) -> int:
    """The length of the longest end of a text that could still become one of some literals."""
    longest = max(map(len, literals), default=1) - 1
    for length in range(min(longest, len(text) - at), 0, -1):
        tail = text[len(text) - length :]
        if any(len(literal) > length and literal.startswith(tail) for literal in literals):
            return length
    return 0
