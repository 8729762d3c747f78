"""Shaping: content that comes in pieces, without what rules take off it.

Each holds back what it may still have to take off, and no more: whatever the pieces were, the same
content comes out.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from serve.governance.presets.preset_rules import CutAt

MAX_INFO_CHARS: Final = 64
_OPENING = re.compile(r"\s*```([^\n`]*)\n")
_CLOSING = re.compile(r"\n[ \t]*```\s*\Z")
_MAY_CLOSE = re.compile(r"\n[ \t]*(?:`{0,2}|```\s*)\Z")

_CLOSERS = "\"'”’»)\\]）」』】》"
_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_BOUNDARIES: Final = {
    "sentence": re.compile(
        rf"[.!?…]+[{_CLOSERS}]*(?=\s)|[。！？…]+[{_CLOSERS}]*(?=[^。！？…{_CLOSERS}])|\n"
    ),
    "word": re.compile(rf"\S(?=\s)|[{_CJK}](?=.)", re.DOTALL),
    "character": re.compile(r".", re.DOTALL),
}


class Shape(Protocol):
    """One rule for one content.

    Attributes:
        num_held: characters that came and of which it is not known whether they stay.
        is_over: nothing more comes out, whatever follows.
    """

    @property
    def num_held(self) -> int: ...
    @property
    def is_over(self) -> bool: ...

    def feed(self, text: str) -> str:
        """Take more. Returns what stays."""
        ...

    def finish(self) -> str:
        """The part that stays of the rest, where nothing follows."""
        ...


class StripWhitespace:
    """Takes white space off both ends (a Shape)."""

    is_over = False

    def __init__(self) -> None:
        self._held = ""
        self._has_begun = False

    @property
    def num_held(self) -> int:
        return len(self._held)

    def feed(self, text: str) -> str:
        """See Shape."""
        text = self._held + text
        if not self._has_begun:
            text = text.lstrip()
            self._has_begun = bool(text)
        stays = text.rstrip()
        self._held = text[len(stays) :]
        return stays

    def finish(self) -> str:
        """See Shape."""
        self._held = ""
        return ""


class StripFence:
    """Takes off the code fence that a content begins with, and the one that it ends with then.

    A fence is three backticks on a line of their own, the first one perhaps with a language (a
    Shape).
    """

    is_over = False

    def __init__(self) -> None:
        self._held = ""
        self._is_fenced: bool | None = None  # None until it is known
        self._is_first_line = False  # a line break stands before what is held, and is none of it

    @property
    def num_held(self) -> int:
        return len(self._held) - self._is_first_line

    def feed(self, text: str) -> str:
        """See Shape."""
        self._held += text
        if self._is_fenced is None:
            self._look_for_opening()
        if self._is_fenced is None:
            return ""
        if not self._is_fenced:
            return self._released(len(self._held))
        found = _MAY_CLOSE.search(self._held)
        return self._released(found.start() if found else len(self._held))

    def finish(self) -> str:
        """See Shape."""
        if self._is_fenced and (found := _CLOSING.search(self._held)):
            stays = self._released(found.start())
            self._held, self._is_first_line = "", False
            return stays
        return self._released(len(self._held))

    def _look_for_opening(self) -> None:
        found = _OPENING.match(self._held)
        if found is not None and len(found[1]) <= MAX_INFO_CHARS:
            self._is_fenced = True
            self._held, self._is_first_line = "\n" + self._held[found.end() :], True
            return
        begun = self._held.lstrip()
        is_open = "```".startswith(begun[:3]) if len(begun) < 3 else begun.startswith("```")
        info = begun[3:]
        if not is_open or "`" in info or "\n" in info or len(info) > MAX_INFO_CHARS:
            self._is_fenced = False

    def _released(self, num_chars: int) -> str:
        released, self._held = self._held[:num_chars], self._held[num_chars:]
        if self._is_first_line and num_chars:
            self._is_first_line = False
            return released[1:]
        return released


class Cut:
    """Cuts a content of too many characters behind its last sentence, or word, that fits (a Shape).

    Where not even one fits, it is cut in the middle of it.
    """

    def __init__(self, max_chars: int, at: CutAt) -> None:
        self._max_chars = max_chars
        self._boundary = _BOUNDARIES[at]
        self._held = ""
        self._num_out = 0
        self.is_over = False

    @property
    def num_held(self) -> int:
        return len(self._held)

    def feed(self, text: str) -> str:
        """See Shape."""
        if self.is_over:
            return ""
        self._held += text
        room = self._max_chars - self._num_out
        end = 0
        for found in self._boundary.finditer(self._held, 0, room + 256):
            if found.end() > room:
                break
            end = found.end()
        self.is_over = len(self._held) > room
        if self.is_over and not end and not self._num_out:
            end = room
        released = self._held[:end]
        self._held = "" if self.is_over else self._held[end:]
        self._num_out += end
        return released

    def finish(self) -> str:
        """See Shape."""
        rest, self._held = self._held, ""
        return rest
