"""Log lines for people: one a record. Never text of prompts or answers.

::

    09:30:00  200 POST /v1/chat/completions · demo · 12→5 tokens · TTFT 50 ms · 100 tok/s · 100 ms
    09:30:02  401 GET /v1/models · invalid_api_key · 1 ms
    09:30:05  warning the model has no manifest · model=demo

The same records as logs.py writes as JSON; the weights' digest, which the banner shows, is left
out. Colours are of the terminal's own palette (ECMA-48, SGR). Whatever is in a record, its line is
one line and moves no cursor: what is not printable is written as an escape.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from models.rules import names

SEPARATOR = " · "
INDENT = " " * len("09:30:00  ")
Fields = Mapping[str, Any]
Paint = Callable[[str, str], str]

_RESET = "\x1b[0m"
_STYLES = {"dim": "2", "bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_LEVELS = {"DEBUG": "dim", "INFO": "green", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_OURS = ("serve", "models", "quantize", "intramural")


def printable(text: str) -> str:
    r"""The text without anything that a terminal would obey or not show.

    A line break with the white space around it becomes one space; other characters that are not
    printable (controls, marks of direction, halves of surrogate pairs) become escapes: ``\x1b``.
    """
    if text.isprintable():
        return text
    lines = (line.strip() for line in text.splitlines())
    joined = " ".join(line for line in lines if line)
    return names.printable(joined)


class TerminalFormatter(logging.Formatter):
    """A log record as one line for people; an exception's places stand indented below it.

    Args:
        message_of: the record's message, as the JSON line has it.
        fields_of: what its caller passed as ``extra``, and the experiment arm.
        exception_of: an exception and its causes as types and places.
        has_colour: False writes no escape sequence at all.
    """

    def __init__(
        self,
        message_of: Callable[[logging.LogRecord], str],
        fields_of: Callable[[logging.LogRecord], Fields],
        exception_of: Callable[[BaseException], list[dict[str, Any]]],
        *,
        has_colour: bool,
    ) -> None:
        super().__init__()
        self._message_of, self._fields_of = message_of, fields_of
        self._exception_of = exception_of
        self._paint: Paint = _coloured if has_colour else _plain

    def format(self, record: logging.LogRecord) -> str:
        """Time of day, what happened, and the fields that say more. Never raises."""
        paint, fields = self._paint, self._fields_of(record)
        at = paint("dim", datetime.fromtimestamp(record.created).strftime("%H:%M:%S"))  # noqa: DTZ006
        if record.name == "intramural.access":
            return f"{at}  {_request(fields, paint)}"
        level = paint(_LEVELS.get(record.levelname, "bold"), record.levelname.lower())
        whose = "" if record.name.split(".", 1)[0] in _OURS else f"{printable(record.name)}: "
        told = "".join(f"{SEPARATOR}{_pair(name, value)}" for name, value in fields.items())
        line = f"{at}  {level} {whose}{printable(self._message_of(record))}{paint('dim', told)}"
        if record.exc_info and record.exc_info[1] is not None:
            line += "".join(self._places(record.exc_info[1]))
        return line

    def _places(self, error: BaseException) -> list[str]:
        rows = []
        for part in self._exception_of(error):
            rows.append(f"\n{INDENT}{self._paint('red', printable(part['type']))}")
            rows += [f"\n{INDENT}  {self._paint('dim', printable(at))}" for at in part["at"]]
        return rows


def _request(fields: Fields, paint: Paint) -> str:
    """A finished request: status, route, model, tokens, times, key; without what is not known."""
    asked = printable(f"{fields['method']} {fields['route']}")
    model, key, arm = (fields.get(name) for name in ("model", "key_id", "arm"))
    parts = [
        f"{_status(fields['status'], paint)} {asked}",
        paint("cyan", printable(model or "")),
        *_tokens(fields),
        *_times(fields),
        *_endings(fields, paint),
        paint("dim", printable(key or "")),
        paint("dim", _pair("arm", arm) if arm else ""),
    ]
    return SEPARATOR.join(part for part in parts if part)


def seconds(value: float) -> str:
    """A duration for people: ``48 ms``, ``1.25 s``, ``75 s``."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def _status(status: int, paint: Paint) -> str:
    style = "green" if status < 400 else "yellow" if status < 500 else "red"
    return paint(style, str(status))


def _tokens(fields: Fields) -> list[str]:
    if not (fields["prompt_tokens"] or fields["completion_tokens"]):
        return []
    cached = f" ({fields['cached_tokens']} cached)" if fields["cached_tokens"] else ""
    return [f"{fields['prompt_tokens']}{cached}→{fields['completion_tokens']} tokens"]


def _times(fields: Fields) -> list[str]:
    times = []
    if fields["ttft_s"] is not None:
        times.append(f"TTFT {seconds(fields['ttft_s'])}")
    if fields["tokens_per_s"] is not None:
        rate = fields["tokens_per_s"]
        times.append(f"{rate:,.0f} tok/s" if rate >= 100 else f"{rate:.1f} tok/s")
    if fields["duration_s"] is not None:
        times.append(seconds(fields["duration_s"]))
    return times


def _endings(fields: Fields, paint: Paint) -> list[str]:
    """Endings that are not the usual one: an error, a caller that left, the length's bound."""
    endings = []
    if fields["error_code"]:
        endings.append(paint("red", printable(fields["error_code"])))
    if fields["disconnected"]:
        endings.append(paint("yellow", "the caller left"))
    if fields["finish_reason"] == "length":
        endings.append("ended by max_tokens")
    if fields["status"] >= 500:
        endings.append(printable(fields["request_id"]))
    return endings


def _pair(name: str, value: object) -> str:
    return f"{printable(name)}={printable(str(value))}"


def _coloured(style: str, text: str) -> str:
    return f"\x1b[{_STYLES[style]}m{text}{_RESET}" if text else ""


def _plain(_: str, text: str) -> str:
    return text
