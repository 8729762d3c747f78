"""The cost of one rendering of a chat template: steps, characters, and time as a last resort.

Steps and characters are counted, so that the same messages are taken or refused on any machine. A
step is a turn of a loop, a block, a call or a filter; long texts cost one more for each 1,024
characters that are read or copied. A size is asked for before the text is made: one call of
``str.replace`` could otherwise fill the memory and hold the interpreter lock while it does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 100
"""Most levels of values within values: C code compares, hashes and prints them by recursion."""
MAX_INTEGER_BITS = 4096
MAX_PRODUCT = 1 << 26
"""Most comparisons of one search whose cost is the product of two lengths (``str.rfind``)."""
MAX_HEAVY_CHARS = 1 << 16
"""Longest text for filters that work character by character in Python (``wordwrap``)."""

_SLICE_STEPS = 4096
_SHIFT = 10
_OVERHEAD_CHARS = 48
_ITEM_CHARS = 16
_SCALARS = frozenset({bool, float, type(None)})
_VIEWS = (KeysView, ValuesView, ItemsView)


class TemplateBoundError(Exception):
    """A template asked for more than a rendering may cost; the message says of what.

    The message completes a sentence that begins with "the chat template".
    """


@dataclass(frozen=True)
class Bounds:
    """Most that one rendering may cost.

    Attributes:
        steps: turns, calls, filters and 1,024s of characters.
        value_chars: of one text; an item of a list counts as several.
        made_chars: of all values that were made, whether they are still held or not.
        seconds: the deadline, looked at every few thousand steps.
    """

    steps: int
    value_chars: int
    made_chars: int
    seconds: float

    @classmethod
    def of(cls, num_chars: int) -> Bounds:
        """Bounds for messages and tools of so many characters and items.

        A prompt is its messages and some words around each; 16 times as much, and a million
        characters on top, leaves room for any published template, and for JSON's escapes.
        """
        value_chars = (1 << 20) + 16 * num_chars
        return cls(
            steps=1_000_000 + 100 * num_chars,
            value_chars=value_chars,
            made_chars=8 * value_chars,
            seconds=10.0,
        )


INLINE = Bounds(steps=2_000, value_chars=1 << 15, made_chars=1 << 17, seconds=1.0)
"""Bounds on the event loop: some 2 ms. What exceeds them begins again on a thread."""


class Meter:
    """Counts what one rendering costs. Used by one thread.

    Every method raises TemplateBoundError where a bound is passed.
    """

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        self.bounds = bounds
        self.steps = 0
        self.made_chars = 0
        self._clock = clock
        self._ends_at = clock() + bounds.seconds
        self._next_look = min(_SLICE_STEPS, bounds.steps)

    def tick(self, steps: int = 1) -> None:
        """Count steps."""
        self.steps += steps
        if self.steps > self._next_look:
            self._look()

    def room(self, num_chars: int) -> None:
        """Ask for a value before it is made."""
        if num_chars > self.bounds.value_chars:
            raise TemplateBoundError(
                f"asks for a value of {num_chars:,} characters, at most "
                f"{self.bounds.value_chars:,} for these messages"
            )
        if self.made_chars + num_chars > self.bounds.made_chars:
            raise TemplateBoundError(
                f"makes more than {self.bounds.made_chars:,} characters, the most for these "
                "messages"
            )

    def add(self, num_chars: int) -> None:
        """Count characters that were made."""
        self.room(num_chars)
        self.made_chars += num_chars
        self.tick(num_chars >> _SHIFT)

    def made(self, value: Any) -> Any:
        """Count a value that was made, without what it holds; gives it back."""
        if isinstance(value, str | bytes):
            self.add(len(value) + _OVERHEAD_CHARS)
        elif isinstance(value, list | tuple | dict):
            self.add(_ITEM_CHARS * len(value) + _OVERHEAD_CHARS)
        elif isinstance(value, int):
            self.integer(value)
        return value

    def integer(self, value: int) -> None:
        """Refuse a number so long that computing with it takes long."""
        if value.bit_length() > MAX_INTEGER_BITS:
            raise TemplateBoundError(
                f"computes a number of {value.bit_length():,} bits, at most {MAX_INTEGER_BITS:,}"
            )

    def product(self, one: int, other: int) -> None:
        """Ask for a search that compares every place of one text with every place of another."""
        if one * other > MAX_PRODUCT:
            raise TemplateBoundError(
                f"searches {one:,} characters for {other:,} in a way that compares each with each"
            )
        self.tick(one * other >> _SHIFT)

    def heavy(self, num_chars: int) -> None:
        """Ask for work that takes Python some steps for each character."""
        if num_chars > MAX_HEAVY_CHARS:
            raise TemplateBoundError(
                f"gives a text of {num_chars:,} characters to a filter that takes at most "
                f"{MAX_HEAVY_CHARS:,}"
            )
        self.tick(num_chars)

    def each(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, each of them a step."""
        for item in items:
            self.tick()
            if isinstance(item, list | tuple):
                self.made(item)
            yield item

    def weigh(self, value: Any) -> int:
        """Characters of a value with all that it holds, however often it holds the same.

        Ask for it before C code walks through a value: prints, compares or hashes it.
        """
        if type(value) is str:
            if len(value) >= 1 << _SHIFT:
                self.tick(len(value) >> _SHIFT)
            return len(value)
        if type(value) in _SCALARS or (type(value) is int and -(10**9) < value < 10**9):
            return 10
        return self._weigh_all(value)

    def _weigh_all(self, value: Any) -> int:
        level, total, num_nodes = [value], 0, 0
        limit = self.bounds.value_chars
        for _ in range(MAX_DEPTH):
            inner: list[Any] = []
            for item in level:
                num_nodes += len(item) if isinstance(item, range) else 1
                total += _own_chars(item)
                if total + len(inner) > limit:
                    raise TemplateBoundError(
                        f"walks through a value of more than {limit:,} characters and items"
                    )
                held = _held(item)
                if held is not None:
                    inner += held
            if not inner:
                self.tick((num_nodes >> 2) + (total >> _SHIFT))
                return total
            level = inner
        raise TemplateBoundError(f"nests values more than {MAX_DEPTH} levels deep")

    def _look(self) -> None:
        if self.steps > self.bounds.steps:
            raise TemplateBoundError(
                f"takes more than {self.bounds.steps:,} steps, the most for these messages"
            )
        if self._clock() > self._ends_at:
            raise TemplateBoundError(f"takes longer than {self.bounds.seconds:g} seconds")
        self._next_look = min(self.steps + _SLICE_STEPS, self.bounds.steps)


def _own_chars(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value) + 4
    if isinstance(value, int) and not isinstance(value, bool):
        return value.bit_length() // 3 + 2
    if isinstance(value, range):
        return len(value)
    text = getattr(value, "text", None) if isinstance(value, dict) else None
    return (len(text) if isinstance(text, str) else 0) + 10


def _held(value: Any) -> Iterable[Any] | None:
    """The values in a value; None where that is nothing, or not printed with it."""
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, _VIEWS):
        return list(value)
    attributes = getattr(type(value), "__slots__", None) is None and _namespace(value)
    return [attributes] if attributes else None


def _namespace(value: Any) -> dict[str, Any] | None:
    """The attributes of a Jinja ``namespace``, which prints them."""
    if type(value).__name__ != "Namespace":
        return None
    found: dict[str, Any] = value._Namespace__attrs  # noqa: SLF001 - it has no other way
    return found


_METER: ContextVar[Meter | None] = ContextVar("template_meter", default=None)


def current() -> Meter:
    """The meter of the rendering that runs; a generous one where none does."""
    return _METER.get() or Meter(Bounds.of(0))


class metering:  # noqa: N801 - used as a function: with metering(meter)
    """Makes a meter the current one for a block."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def __enter__(self) -> None:
        self._token = _METER.set(self._meter)

    def __exit__(self, *_: object) -> None:
        _METER.reset(self._token)


def num_chars(value: Any) -> int:
    """Characters, and one per item, of a JSON value."""
    total, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, Mapping):
            total += len(item)
            waiting += item.keys()
            waiting += item.values()
        elif isinstance(item, list | tuple):
            total += len(item)
            waiting += item
    return total
