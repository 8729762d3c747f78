r"""Folding: texts as the rules see them, each character with its place in the text.

Characters are folded one by one: compatibility forms to plain ones (NFKC: full width to half width,
ligatures to letters), capitals to small letters; characters that are not seen are left out. So a
piece of a text folds to the same wherever the text was cut, and every folded character knows where
the one begins that it was made of.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_MAX_KNOWN: Final = 65_536
_UNSEEN: Final = frozenset(
    [
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    ]
)
"""Fillers and variation selectors: they are not seen, and no format characters (Cf) either."""
_WORD_SCRIPTS_END: Final = 0x2E80
"""Scripts from here on (Chinese, Japanese, Korean) write no spaces between words."""
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))|([^\\]+)", re.DOTALL)
_OPEN_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{0,3})?\Z")
_SHORT: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class _Folds(dict[int, str]):
    """Foldings of characters by their code points, made as they are asked for."""

    def __missing__(self, code: int) -> str:
        if len(self) >= _MAX_KNOWN:
            self.clear()
        folded = self[code] = _folded(chr(code))
        return folded


def _folded(char: str) -> str:
    if 0xD800 <= ord(char) < 0xE000:
        return "\N{REPLACEMENT CHARACTER}"
    if unicodedata.category(char) == "Cf" or ord(char) in _UNSEEN:
        return ""
    if char == "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}":
        return "i"  # Unicode folds it to an i with a second dot, which nobody writes
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())


_FOLDS = _Folds()


def folded(text: str) -> str:
    """A text as the rules see it."""
    return text.translate(_FOLDS)


def is_word_char(char: str) -> bool:
    """Whether a folded character goes on with a word: letters and digits of scripts with spaces."""
    if char == "_" or unicodedata.category(char).startswith("M"):
        return True
    return ord(char) < _WORD_SCRIPTS_END and char.isalnum()


class Folder:
    r"""Folds a text that comes in pieces.

    Args:
        has_escapes: it is JSON text, in which ``\u0061`` and ``a`` are the same.
        opened: the beginning of an escape that stands before it, at places below 0.

    Attributes:
        num_folded: characters of the text that were folded so far: an escape is so as a whole.
    """

    def __init__(self, *, has_escapes: bool = False, opened: str = "") -> None:
        self._has_escapes = has_escapes
        self._open = opened  # the beginning of an escape
        self.num_folded = -len(opened)

    def feed(self, text: str, *, is_last: bool = False) -> tuple[str, list[int]]:
        """Fold more of the text.

        Args:
            is_last: nothing follows, so the beginning of an escape is text.

        Returns:
            What it comes to, and for each character of that the place of the one of which it was
            made, in characters from the text's beginning.
        """
        if not self._has_escapes:
            return self._plain(text)
        text, self._open = self._open + text, ""
        if not is_last and (found := _OPEN_ESCAPE.search(text)) and _is_open(text, found.start()):
            text, self._open = text[: found.start()], text[found.start() :]
        pieces: list[str] = []
        places: list[int] = []
        end = 0
        for found in _ESCAPE.finditer(text):
            end = found.end()
            code, short, plain = found.groups()
            if plain is not None:
                piece, own = self._plain(plain)
            else:
                char = chr(int(code, 16)) if code else _SHORT.get(short, short)
                piece = _FOLDS[ord(char)]
                own = [self.num_folded] * len(piece)
                self.num_folded += found.end() - found.start()
            pieces.append(piece)
            places += own
        if end < len(text):  # a lone backslash at the end
            piece, own = self._plain(text[end:])
            pieces.append(piece)
            places += own
        return "".join(pieces), places

    def _plain(self, text: str) -> tuple[str, list[int]]:
        start = self.num_folded
        self.num_folded += len(text)
        if text.isascii():
            return text.lower(), list(range(start, self.num_folded))
        pieces = [_FOLDS[ord(char)] for char in text]
        places = [
            place for place, piece in enumerate(pieces, start=start) for _ in range(len(piece))
        ]
        return "".join(pieces), places


def _is_open(text: str, at: int) -> bool:
    """Whether the backslash there begins an escape: it is not itself escaped."""
    before = len(text[:at]) - len(text[:at].rstrip("\\"))
    return before % 2 == 0
