"""Sizes of results, before a filter or a method makes it. No Jinja here.

One function per kind; each asks a meter for room and raises TemplateBoundError where there is none.
The rules are those of Python's own str, bytes, list, dict and int, and of Jinja's filters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from string import Formatter
from typing import Any

from serve.pipeline.template_meter import Meter, TemplateBoundError

MAX_WIDTH = 100_000
"""Widest padding or precision of a format."""
MAX_DIGITS = 400
"""Most decimal places to round to: a float has no more."""
CODECS = frozenset({"utf8", "utf16", "utf32", "ascii", "latin1", "iso88591"})
_DIGITS = re.compile(r"\d+")
_REFUSED_METHODS = frozenset({"to_bytes", "from_bytes", "fromkeys"})
_Args = tuple[Any, ...]
_Kwargs = Mapping[str, Any]


def text_length(meter: Meter, value: Any) -> int:
    """Characters of ``str(value)``, at most about."""
    return len(value) if isinstance(value, str) else meter.weigh(value)


def width_of(value: Any) -> int:
    """A number that pads: itself, or 0 where it is none (the call itself will refuse it)."""
    return max(0, value) if isinstance(value, int) else 0


def argument(args: _Args, kwargs: _Kwargs, index: int, name: str, default: Any) -> Any:
    """An argument that may be given by place or by name."""
    return args[index] if len(args) > index else kwargs.get(name, default)


def check_replace(meter: Meter, text: Any, old: Any, new: Any, count: Any = None) -> None:
    """``text.replace(old, new)``."""
    meter.weigh(old)
    meter.weigh(new)
    if not isinstance(text, str | bytes) or not isinstance(old, type(text)):
        text, old = str(text), str(old)
    new_length = len(new) if isinstance(new, str | bytes) else meter.weigh(new)
    found = text.count(old) if old else len(text) + 1
    if isinstance(count, int) and count >= 0:
        found = min(found, count)
    escaped = 6 if hasattr(text, "__html__") else 1
    meter.room(len(text) + found * max(0, escaped * new_length - len(old)))


def check_binary(meter: Meter, operator: str, left: Any, right: Any) -> None:
    """``left + right``, ``*``, ``%`` and ``**``."""
    if operator == "+":
        if isinstance(left, str | bytes) and isinstance(right, str | bytes):
            meter.room(len(left) + len(right))
        elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
            meter.room(16 * (len(left) + len(right)))
    elif operator == "*":
        _check_times(meter, left, right)
    elif operator == "%" and isinstance(left, str | bytes):
        check_printf(meter, left, right)
    elif operator == "**" and isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * abs(right)
        if abs(left) > 1 and bits > 1024:
            raise TemplateBoundError(f"raises a number to a power of some {bits:,} bits")


def _check_times(meter: Meter, left: Any, right: Any) -> None:
    for one, times in ((left, right), (right, left)):
        if not isinstance(times, int):
            continue
        if isinstance(one, int):
            meter.integer(one)
        elif isinstance(one, str | bytes):
            meter.room(len(one) * max(0, times))
        elif isinstance(one, list | tuple):
            meter.room(16 * len(one) * max(0, times))


def check_printf(meter: Meter, template: str | bytes, values: Any) -> None:
    """``template % values``: widths and precisions, and each value as often as it is named."""
    text = template.decode("latin-1") if isinstance(template, bytes) else template
    conversions = list(_conversions(text))
    if sum(width == "*" for width, _ in conversions):
        given = values if isinstance(values, tuple) else (values,)
        for value in given:
            _check_width(width_of(abs(value) if isinstance(value, int) else 0))
    wide = sum(_check_width(int(width[:12])) for width, _ in conversions if width.isdigit())
    named = max((repeats for _, repeats in conversions), default=0)
    meter.room(len(text) + wide + meter.weigh(values) * max(1, named))


def _conversions(text: str) -> Iterator[tuple[str, int]]:
    """Width or precision (``*``, digits or nothing) of each conversion, and how many are named."""
    at, num_named = 0, 0
    while (at := text.find("%", at)) >= 0:
        at += 1
        if text[at : at + 1] == "(":
            at, num_named = _after_key(text, at), num_named + 1
        match = re.compile(r"[#0\- +]*(\d+|\*)?(?:\.(\d+|\*)?)?[hlL]?").match(text, at)
        if match is None:
            continue
        at = match.end() + 1
        yield match[1] or "", num_named
        yield match[2] or "", num_named


def _after_key(text: str, at: int) -> int:
    """The place behind a mapping key, which may hold brackets itself."""
    depth = 0
    for place in range(at, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return place + 1
    return len(text)


def _check_width(width: int) -> int:
    if width > MAX_WIDTH:
        raise TemplateBoundError(
            f"formats a value {width:,} characters wide, at most {MAX_WIDTH:,}"
        )
    return width


def check_format(meter: Meter, template: str, args: _Args, kwargs: _Kwargs) -> None:
    """``template.format(*args, **kwargs)``."""
    num_fields, wide = 0, 0
    for _, name, spec, _conversion in Formatter().parse(template):
        if name is None:
            continue
        num_fields += 1
        if "{" in (spec or ""):
            raise TemplateBoundError("formats a value in a width that is chosen only when it runs")
        for digits in _DIGITS.findall(spec or ""):
            wide += _check_width(int(digits[:12]))
    meter.room(len(template) + wide + num_fields * (meter.weigh(args) + meter.weigh(dict(kwargs))))


def check_round(precision: Any) -> None:
    """``round(number, precision)`` computes ten to that power."""
    if isinstance(precision, int) and abs(precision) > MAX_DIGITS:
        raise TemplateBoundError(f"rounds to {precision:,} places, at most {MAX_DIGITS}")


def check_indent(meter: Meter, text: Any, width: Any) -> None:
    """``text|indent(width)``."""
    length = text_length(meter, text)
    num_lines = text.count("\n") + 2 if isinstance(text, str) else length + 2
    meter.room(length + num_lines * (len(width) if isinstance(width, str) else width_of(width)))


def check_join(meter: Meter, items: list[Any], separator: Any) -> None:
    """``separator.join(items)``, the items as text."""
    between = text_length(meter, separator) * max(0, len(items) - 1)
    meter.room(between + sum([text_length(meter, item) for item in items]))


def check_wordwrap(meter: Meter, text: Any, width: Any, wrapstring: Any) -> None:
    """``text|wordwrap``: a line has at least half the width, or ends where the text's did."""
    length = text_length(meter, text)
    meter.heavy(length)
    num_breaks = text.count("\n") if isinstance(text, str) else length
    num_lines = 2 * length // max(1, width_of(width)) + num_breaks + 1
    if isinstance(wrapstring, str):
        meter.room(length + num_lines * len(wrapstring))


def check_json(meter: Meter, value: Any, args: _Args, kwargs: _Kwargs) -> None:
    """``value|tojson``: with an indentation and separators, for every item."""
    num_chars = meter.weigh(value)
    indent = argument(args, kwargs, 1, "indent", None)
    width = len(indent) if isinstance(indent, str) else width_of(indent)
    separators = argument(args, kwargs, 2, "separators", None) or ()
    between = sum(len(part) for part in separators if isinstance(part, str))
    num_items = num_chars // 4 + 1  # each item weighs 4 or more
    if width or between > 4:
        meter.room(num_chars + num_items * (between + width * _depth(value)))


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            item
            for held in level
            if isinstance(held, dict | list | tuple)
            for item in (held.values() if isinstance(held, dict) else held)
        ]
    return depth


def check_method(meter: Meter, owner: Any, name: str, args: _Args, kwargs: dict[str, Any]) -> _Args:
    """A method of a text, a number, a list or a table.

    Returns:
        The arguments to call it with: an iterator comes back as a list.
    """
    if name in _REFUSED_METHODS:
        raise TemplateBoundError(f"calls {name!r}, which no prompt needs")
    if isinstance(owner, str | bytes):
        return _check_text_method(meter, owner, name, args, kwargs)
    if isinstance(owner, list | tuple) and name in {"index", "count"}:
        meter.weigh(owner)
    if isinstance(owner, range) and name in {"index", "count"}:
        meter.tick(len(owner))
    for value in args:
        if not isinstance(value, str):
            meter.weigh(value)
    return args


def _check_text_method(
    meter: Meter, owner: str | bytes, name: str, args: _Args, kwargs: dict[str, Any]
) -> _Args:
    if name == "join" and args and not isinstance(args[0], list | tuple | str | bytes):
        args = (list(meter.each(args[0])), *args[1:])
    check = _TEXT_METHODS.get(name)
    if check is not None:
        check(meter, owner, args, kwargs)
    else:
        meter.room(len(owner))
    meter.tick(len(owner) >> 10)
    for value in args if name != "join" else ():
        meter.weigh(value)
    return args


def _padding(meter: Meter, owner: str | bytes, args: _Args, _: _Kwargs) -> None:
    meter.room(len(owner) + (width_of(args[0]) if args else 0))


def _expandtabs(meter: Meter, owner: str | bytes, args: _Args, kwargs: _Kwargs) -> None:
    tabs = owner.count("\t") if isinstance(owner, str) else owner.count(b"\t")
    meter.room(len(owner) + tabs * width_of(argument(args, kwargs, 0, "tabsize", 8)))


def _join(meter: Meter, owner: str | bytes, args: _Args, _: _Kwargs) -> None:
    if args:
        items = list(args[0])
        meter.room(
            len(owner) * len(items)
            + sum(len(item) for item in items if isinstance(item, str | bytes))
        )


def _replace(meter: Meter, owner: str | bytes, args: _Args, kwargs: _Kwargs) -> None:
    if len(args) > 1:
        check_replace(meter, owner, args[0], args[1], argument(args, kwargs, 2, "count", None))


def _translate(meter: Meter, owner: str | bytes, args: _Args, _: _Kwargs) -> None:
    table = args[0] if args else None
    longest = 1
    if isinstance(table, Mapping):
        longest = max((len(v) for v in table.values() if isinstance(v, str)), default=1)
    elif isinstance(table, list | tuple):
        longest = max((len(v) for v in table if isinstance(v, str)), default=1)
    meter.room(len(owner) * max(1, longest))


def _search(meter: Meter, owner: str | bytes, args: _Args, kwargs: _Kwargs) -> None:
    for value in (*args, *kwargs.values()):
        if isinstance(value, str | bytes):
            meter.product(len(owner), len(value))


def _codec(meter: Meter, owner: str | bytes, args: _Args, kwargs: _Kwargs) -> None:
    codec = argument(args, kwargs, 0, "encoding", "utf-8")
    plain = re.sub(r"[-_ ]", "", codec).lower() if isinstance(codec, str) else ""
    if plain not in CODECS:
        raise TemplateBoundError("encodes a text otherwise than as UTF-8, UTF-16, UTF-32 or Latin")
    meter.room(4 * len(owner))


def _heavy(meter: Meter, owner: str | bytes, _args: _Args, _kwargs: _Kwargs) -> None:
    meter.heavy(len(owner))


def _format(meter: Meter, owner: str | bytes, args: _Args, kwargs: _Kwargs) -> None:
    if isinstance(owner, str):
        check_format(meter, owner, args, kwargs)


_TEXT_METHODS: dict[str, Callable[[Meter, Any, _Args, _Kwargs], None]] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill"), _padding),
    **dict.fromkeys(("rfind", "rindex", "rsplit", "rpartition"), _search),
    **dict.fromkeys(("strip", "lstrip", "rstrip"), _search),
    **dict.fromkeys(("encode", "decode"), _codec),
    **dict.fromkeys(("unescape", "striptags"), _heavy),
    "expandtabs": _expandtabs,
    "join": _join,
    "replace": _replace,
    "translate": _translate,
    "format": _format,
}
