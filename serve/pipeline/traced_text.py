"""Text that remembers which of its characters a client wrote, through whatever is done to it.

A chat template cuts, joins, replaces and folds a client's text before it is a prompt. Marks inside
the text would be seen, counted and destroyed by it; here the text stays what it is, and a mask of
one byte per character goes along: 1 where a client wrote it, 0 where the template did. The idea is
that of taint tracking in Perl and Ruby, per character.

    client("ab") + "<end>"        text "ab<end>", mask 1 1 0 0 0 0 0

A plain ``str`` is the template's. A method returns a plain ``str`` where no character of a client
is left, so that a ``TracedText`` always holds one. What cannot be followed in parts counts as the
client's as a whole: that is the safe side.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, SupportsIndex

from serve.pipeline.tool_arguments import Arguments

_CLIENT, _TEMPLATE = b"\x01", b"\x00"
_SPEC = re.compile(
    r"%(?:\((?P<key>[^()]*)\))?[#0\- +]*(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d+)?)?[hlL]?"
    r"(?P<kind>.)",
    re.DOTALL,
)
"""A conversion of printf-style formatting, as Python's str.__mod__ reads it."""


MAX_RUNS = 256
"""Runs of one writer that mapped() follows where lengths change, each at the text's whole cost."""


class TracedText(str):
    """A string and where each of its characters comes from. Made by client() and traced()."""

    __slots__ = ("_mask",)
    _mask: bytes

    def __new__(cls, text: str, mask: bytes) -> Self:
        made = super().__new__(cls, text)
        made._mask = mask
        return made

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        if type(other) is not str and type(other) is not TracedText:
            return NotImplemented  # markup, which has ways of its own; or no text at all
        return traced(str.__add__(self, other), self._mask + mask_of(other))

    def __radd__(self, other: str) -> str:
        if not isinstance(other, str):
            return NotImplemented
        return traced(str.__add__(other, self), mask_of(other) + self._mask)

    def __mul__(self, count: SupportsIndex) -> str:
        return traced(str.__mul__(self, count), self._mask * count)

    __rmul__ = __mul__

    def __mod__(self, values: Any) -> str:
        return _formatted(self, values)

    def __rmod__(self, template: Any) -> str:
        if not isinstance(template, str):
            return NotImplemented
        return _formatted(lifted(template), self)

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        text = str.__getitem__(self, key)
        if isinstance(key, slice):
            return traced(text, self._mask[key])
        return TracedText(text, _CLIENT) if self._mask[key] else text

    def __iter__(self) -> Iterator[str]:
        for character, of_client in zip(str.__iter__(self), self._mask, strict=True):
            yield TracedText(character, _CLIENT) if of_client else character

    # What folds characters: each becomes one or more, in the same order.

    def capitalize(self) -> str:
        return mapped(self, str.capitalize)

    def casefold(self) -> str:
        return mapped(self, str.casefold)

    def lower(self) -> str:
        return mapped(self, str.lower)

    def swapcase(self) -> str:
        return mapped(self, str.swapcase)

    def title(self) -> str:
        return mapped(self, str.title)

    def upper(self) -> str:
        return mapped(self, str.upper)

    def expandtabs(self, tabsize: SupportsIndex = 8) -> str:
        return mapped(self, lambda text: str.expandtabs(text, tabsize))

    def translate(self, table: Any) -> str:
        made = mapped(self, lambda text: str.translate(text, table), shrinks=True)
        return client(made) if carries(table) else made

    # What cuts.

    def strip(self, chars: str | None = None) -> str:
        return self._without(len(self) - len(str.lstrip(self, chars)), str.strip(self, chars))

    def lstrip(self, chars: str | None = None) -> str:
        rest = str.lstrip(self, chars)
        return self._without(len(self) - len(rest), rest)

    def rstrip(self, chars: str | None = None) -> str:
        return self._without(0, str.rstrip(self, chars))

    def removeprefix(self, prefix: str) -> str:
        rest = str.removeprefix(self, prefix)
        return self._without(len(self) - len(rest), rest)

    def removesuffix(self, suffix: str) -> str:
        return self._without(0, str.removesuffix(self, suffix))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._pieces(str.split(self, sep, maxsplit), sep)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._pieces(str.rsplit(self, sep, maxsplit), sep)

    def splitlines(self, keepends: bool = False) -> list[str]:
        return self._pieces(str.splitlines(self, keepends), None)

    def partition(self, sep: str) -> tuple[str, str, str]:
        head, found, rest = self._pieces(str.partition(self, sep), "")
        return head, found, rest

    def rpartition(self, sep: str) -> tuple[str, str, str]:
        head, found, rest = self._pieces(str.rpartition(self, sep), "")
        return head, found, rest

    # What adds.

    def center(self, width: SupportsIndex, fillchar: str = " ") -> str:
        padding = max(0, width.__index__() - len(self))
        left = padding // 2 + (padding & width.__index__() & 1)
        return self._padded(str.center(self, width, fillchar), fillchar, left, padding - left)

    def ljust(self, width: SupportsIndex, fillchar: str = " ") -> str:
        padding = max(0, width.__index__() - len(self))
        return self._padded(str.ljust(self, width, fillchar), fillchar, 0, padding)

    def rjust(self, width: SupportsIndex, fillchar: str = " ") -> str:
        padding = max(0, width.__index__() - len(self))
        return self._padded(str.rjust(self, width, fillchar), fillchar, padding, 0)

    def zfill(self, width: SupportsIndex) -> str:
        text = str.zfill(self, width)
        num_zeros = len(text) - len(self)
        sign = 1 if str.startswith(self, ("+", "-")) else 0
        return traced(text, self._mask[:sign] + _TEMPLATE * num_zeros + self._mask[sign:])

    def join(self, items: Iterable[str]) -> str:
        return joined(list(items), self)

    def replace(self, old: str, new: str, count: SupportsIndex = -1) -> str:
        """str.replace; what stands for a client's characters counts as the client's."""
        text = str.replace(self, old, new, count)
        masks, at, limit = [], 0, count.__index__()
        new_mask = mask_of(new)
        for start in _occurrences(self, old, limit):
            cut = self._mask[start : start + len(old)]
            masks += [self._mask[at:start], _CLIENT * len(new) if _CLIENT in cut else new_mask]
            at = start + len(old)
        return traced(text, b"".join([*masks, self._mask[at:]]))

    def format(self, *args: Any, **kwargs: Any) -> str:
        return client(str.format(self, *args, **kwargs))

    def format_map(self, mapping: Any) -> str:
        return client(str.format_map(self, mapping))

    def _without(self, start: int, rest: str) -> str:
        """``rest``, which is a part of this text and begins at ``start``."""
        return traced(rest, self._mask[start : start + len(rest)])

    def _pieces(self, pieces: Iterable[str], sep: str | None) -> list[str]:
        """Consecutive parts of this text with ``sep`` between them; None: with white space."""
        found, at = [], 0
        for piece in pieces:
            start = str.find(self, piece, at) if sep is None else at
            found.append(self._without(start, piece))
            at = start + len(piece) + len(sep or "")
        return found

    def _padded(self, text: str, fillchar: str, left: int, right: int) -> str:
        fill = mask_of(fillchar)
        return traced(text, fill * left + self._mask + fill * right)


def client(text: str) -> str:
    """The text as a client's, every character of it."""
    return TracedText(text, _CLIENT * len(text)) if text else ""


def traced(text: str, mask: bytes) -> str:
    """A text with its mask; plain where a client wrote nothing of it.

    A mask of another length could not be followed: the text is then the client's as a whole.
    """
    if len(mask) != len(text):
        return client(text)
    return TracedText(text, mask) if _CLIENT in mask else str.__str__(text)


def lifted(text: str) -> TracedText:
    """A text with a mask in any case, so that the methods of TracedText apply to it."""
    return text if isinstance(text, TracedText) else TracedText(text, mask_of(text))


def lowered(value: Any) -> Any:
    """The same value; a text that lifted() made, and that holds nothing of a client, plain."""
    return traced(value, mask_of(value)) if type(value) is TracedText else value


def mask_of(text: str) -> bytes:
    """One byte per character: 1 where a client wrote it."""
    if isinstance(text, TracedText):
        return text._mask  # noqa: SLF001 - of no use to a template, so it is not to be seen by one
    return (_TEMPLATE if type(text) is str else _CLIENT) * len(text)


def mapped(text: str, change: Callable[[str], str], *, shrinks: bool = False) -> str:
    """``change(text)``, where a character's image depends on what is before it, not behind.

    Args:
        shrinks: whether an image may be empty. Where none is, equal lengths mean one for one.
    """
    made = change(str.__str__(text))
    mask = mask_of(text)
    if len(made) == len(mask) and not shrinks:
        return traced(made, mask)
    runs = [run.end() for run in re.finditer(rb"\x01+|\x00+", mask)]
    if len(runs) > MAX_RUNS:
        return client(made)
    masks, reached = [], 0
    for end in runs:
        length = len(change(str.__str__(text)[:end]))
        masks.append(mask[end - 1 : end] * (length - reached))
        reached = length
    return traced(made, b"".join(masks))


def joined(items: list[str], separator: str = "") -> str:
    """The items in a row. Raises TypeError where one is no text."""
    text = str.join(separator, items)
    if type(separator) is str and not any(type(item) is not str for item in items):
        return text
    return traced(text, mask_of(separator).join([mask_of(item) for item in items]))


def text_of(value: Any) -> str:
    """``str(value)``, a client's where the value holds anything of one."""
    if type(value) is TracedText or type(value) is str:
        return value
    if isinstance(value, str):  # markup
        return client(value) if getattr(value, "of_client", False) else str.__str__(value)
    return client(str(value)) if carries(value) else str(value)


def carries(value: Any) -> bool:
    """Whether something of a client is in a value. True for objects that cannot be looked into."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is str or item is None or kind in _SCALARS:
            continue
        if kind is dict or isinstance(item, Mapping):
            waiting += item.keys()
            waiting += item.values()
        elif isinstance(item, list | tuple | set | frozenset):
            waiting += item
        elif kind is not TracedText or _CLIENT in mask_of(item):
            return True
    return False


_SCALARS = frozenset({int, float, bool, complex, range})


def of_client(value: Any) -> Any:
    """A JSON value with every text in it, keys too, as a client's."""
    if isinstance(value, str):
        return client(value)
    if isinstance(value, Arguments):
        return value.changed(of_client, client)
    if isinstance(value, Mapping):
        return {client(key): of_client(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [of_client(item) for item in value]
    return value


def _occurrences(text: str, old: str, limit: int) -> Iterator[int]:
    """Places where str.replace finds ``old``: ``limit`` at most, or all where it is below zero."""
    at = 0
    while limit != 0 and (start := str.find(text, old, at)) >= 0:
        yield start
        at = start + (len(old) or 1)
        limit -= 1
        if at > len(text):
            return


def _formatted(template: str, values: Any) -> str:
    """``template % values``, by its conversions; the client's as a whole where they do not fit."""
    plain = str.__str__(template)
    text = str.__mod__(plain, values)
    if not carries(values) and _CLIENT not in mask_of(template):
        return text
    mask = mask_of(template)
    queue = iter(values if isinstance(values, tuple) else (values,))
    pieces, at = [], 0
    try:
        for match in _SPEC.finditer(plain):
            pieces.append(traced(plain[at : match.start()], mask[at : match.start()]))
            whole = _CLIENT in mask[match.start() : match.end()]
            pieces.append(_converted(match, values, queue, whole=whole))
            at = match.end()
    except (StopIteration, TypeError, ValueError, KeyError):
        return client(text)
    made = joined([*pieces, traced(plain[at:], mask[at:])])
    return made if made == text else client(text)


def _converted(match: re.Match[str], values: Any, queue: Iterator[Any], *, whole: bool) -> str:
    if match["kind"] == "%":
        return client("%") if whole else "%"
    if match["key"] is not None:
        value, text = values[match["key"]], match[0] % values
    else:
        stars = [next(queue) for part in ("width", "precision") if match[part] == "*"]
        value = next(queue)
        text = match[0] % (*stars, value)
    if match[0] == "%s" and isinstance(value, str) and not whole:
        return value
    return client(text) if whole or carries(value) else text
