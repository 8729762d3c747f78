"""Text that comes in pieces, read from the front by straight-line code.

What reads is a generator: it yields where it needs more text than has come, and goes on when
there is more. So a parser is written as if all the text were there, and any pieces give the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from serve.pipeline.model_dialects.literals import Literals

T = TypeVar("T")
Wait = Generator[None, None, T]
"""A reading that may wait for more text, and gives a T in the end."""

_STRUCTURE = re.compile(r'["{}\[\]]')
_IN_STRING = re.compile(r'["\\]')
_SCALAR_END = re.compile(r"[\s,}\]]")
_SPACE = " \t\r\n"
_NO_SPACE = re.compile(r"[^ \t\r\n]")
_WINDOW_CHARS = 1024
"""Characters that are read and stay in the window: each piece of text is joined to them once."""


class MalformedError(Exception):
    """The text is not what it has to be at this place."""


class EndedError(MalformedError):
    """The text ended in the middle."""


class Reader:
    """A window on text, and a place in it. What is read leaves the window, and comes back where
    somebody returns to a place before it.

    Attributes:
        text: the window.
        at: the place in it; what is before it is read.
        is_over: whether no more comes.
        is_short: whether it ends where no more tokens were allowed, and not by itself.
    """

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.is_over = False
        self.is_short = False
        self._before: list[str] = []  # what left the window and may be returned to
        self._num_before = 0  # characters before the window, in all

    def add(self, text: str) -> None:
        self.text += text

    @property
    def place(self) -> int:
        """Characters of the whole text before the place. It stays true while text comes."""
        return self._num_before + self.at

    def return_to(self, place: int) -> None:
        """Return to a place of before, none that has been forgotten."""
        if place < self._num_before:
            pieces = [self.text]
            while place < self._num_before:
                pieces.append(self._before.pop())
                self._num_before -= len(pieces[-1])
            self.text = "".join(reversed(pieces))
        self.at = place - self._num_before

    def forget(self) -> None:
        """Let go of what is read for good."""
        self._num_before += self.at
        self.text, self.at = self.text[self.at :], 0
        self._before.clear()

    def more(self) -> Wait[None]:
        """Wait for more text. Raises EndedError where none comes."""
        if self.is_over:
            raise EndedError
        if self.at > _WINDOW_CHARS:
            self._before.append(self.text[: self.at])
            self._num_before += self.at
            self.text, self.at = self.text[self.at :], 0
        yield

    def peek(self) -> Wait[str]:
        """The next character. Raises EndedError at the end."""
        while self.at >= len(self.text):
            yield from self.more()
        return self.text[self.at]

    def skip_space(self) -> Wait[str]:
        """The next character that is no white space, which becomes the place."""
        while True:
            match = _NO_SPACE.search(self.text, self.at)
            if match is not None:
                self.at = match.start()
                return match[0]
            self.at = len(self.text)
            yield from self.more()

    def skip_exactly(self, space: str) -> Wait[None]:
        """Read white space as far as it is that of a literal."""
        for character in space:
            try:
                if (yield from self.peek()) != character:
                    return
            except EndedError:
                return
            self.at += 1

    def begins(self, literal: str) -> Wait[bool]:
        """Whether a literal stands here, character by character; reads it if so."""
        while not self.is_over and len(self.text) - self.at < len(literal):
            if not literal.startswith(self.text[self.at :]):
                return False
            yield from self.more()
        if not self.text.startswith(literal, self.at):
            return False
        self.at += len(literal)
        return True

    def match_as_far(self, literal: str) -> Wait[None]:
        """Read a literal, or the beginning of one that the text ends with."""
        if (yield from self.match(literal)) or not self.is_over:
            return
        rest = "".join(self.text[self.at :].split())
        if rest and "".join(literal.split()).startswith(rest):
            self.at = len(self.text)

    def match(self, literal: str) -> Wait[bool]:
        """Whether a literal stands here, white space in either apart; reads it if so.

        At the end of the text a literal of nothing but white space stands everywhere.
        """
        start = self.place
        try:
            for character in literal:
                if character in _SPACE:
                    continue
                if (yield from self.skip_space()) != character:
                    self.return_to(start)
                    return False
                self.at += 1
        except EndedError:
            self.return_to(start)
            return False
        return True

    def match_close(self, literal: str) -> Wait[None]:
        """Read a literal if it stands here, or as much of it as the text's end has left."""
        if not (yield from self.match(literal)) and self.ends_within(literal):
            self.at = len(self.text)

    def ends_within(self, literal: str) -> bool:
        """Whether the text ends in the middle of a literal that begins here."""
        rest = self.text[self.at : self.at + 2 * len(literal) + 1]
        if not self.is_over or self.at + len(rest) < len(self.text):
            return False
        begun, whole = "".join(rest.split()), "".join(literal.split())
        return bool(begun) and begun != whole and whole.startswith(begun)

    def expect(self, literal: str) -> Wait[None]:
        """Read a literal. Raises MalformedError where it does not stand here."""
        if not (yield from self.match(literal)):
            is_end = self.is_over and _NO_SPACE.search(self.text, self.at) is None
            raise EndedError if is_end else MalformedError

    def until(
        self, ends: Literals | Sequence[str], most: int | None = None
    ) -> Wait[tuple[str, str]]:
        """The text before the first of some literals, and which it was; neither is left.

        Args:
            most: characters that may come before it; None is any number.

        Raises:
            MalformedError: more than ``most`` came.
            EndedError: the text ended without one.
        """
        literals = ends if isinstance(ends, Literals) else Literals(ends)
        parts: list[str] = []
        start, num_read = self.place, 0

        def read(end: int) -> None:
            nonlocal num_read
            num_read += end - self.at
            if most is not None and num_read > most:
                self.return_to(start)
                raise MalformedError
            parts.append(self._taken(end))

        while True:
            left = None if most is None else most - num_read
            found = literals.find(self.text, self.at, is_over=self.is_over, most=left)
            if found is not None:
                read(found[0])
                self.at += len(found[1])
                return "".join(parts), found[1]
            read(len(self.text) - (0 if self.is_over else literals.held(self.text, self.at)))
            yield from self.more()

    def plain(self, marks: re.Pattern[str], tell: Callable[[str], None]) -> Wait[None]:
        """Read text up to the first of some characters, telling it as it comes.

        Raises:
            EndedError: the text ended without one.
        """
        while (match := marks.search(self.text, self.at)) is None:
            tell(self._taken(len(self.text)))
            yield from self.more()
        tell(self._taken(match.start()))

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
        seen = self.at
        while True:
            match = (_IN_STRING if is_string else _STRUCTURE).search(self.text, seen)
            is_cut = match is not None and match[0] == "\\" and match.end() >= len(self.text)
            if match is None or is_cut:
                tell(self._taken(len(self.text) if match is None else match.start()))
                yield from self.more()
                seen = self.at
                continue
            character, seen = match[0], match.end()
            if character == "\\":
                seen += 1
            elif character == '"':
                is_string = not is_string
            else:
                depth += 1 if character in "{[" else -1
            if depth <= 0 and not is_string:
                tell(self._taken(seen))
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
            yield from self.more()

    def _taken(self, end: int) -> str:
        text, self.at = self.text[self.at : end], end
        return text
