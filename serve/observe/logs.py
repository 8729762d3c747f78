"""Logs: one record a line, on stderr; and the access log. Never text of prompts or answers.

On a terminal the lines are for people (terminal_lines.py); elsewhere each is one JSON object::

    {"ts": "2026-01-31T09:30:00.123456Z", "level": "info", "logger": "serve.bootstrap",
     "msg": "draining", "signal": "SIGTERM"}

Every JSON line has the experiment arm as ``arm`` where there is one, and the weights' digest as
``model_digest`` once they are proven. What a caller passes as ``extra`` becomes a field.
An exception becomes its type and where it was raised; its message and the values of variables stay
out, because they may hold text of a client.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Literal, TextIO

import orjson

from serve.environment import wants_colour
from serve.observe.record import PARTS, PROBES, RequestRecord
from serve.observe.terminal_lines import TerminalFormatter

log = logging.getLogger(__name__)
access = logging.getLogger("intramural.access")

MAX_FRAMES = 5
LEVELS = MappingProxyType(
    {
        "debug": logging.DEBUG,
        "info": logging.INFO,
        "warning": logging.WARNING,
        "error": logging.ERROR,
    }
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    *("message", "asctime", "taskName"),
    "color_message",  # uvicorn's message once more, for terminals
    "vllm_process_name",  # vLLM puts it into every record of the process
}
_context: dict[str, str] = {}
_masking: Callable[[str], str] | None = None
_VALUES = re.compile(r"[\n(<{].*", re.DOTALL)


Form = Literal["auto", "json", "text"]


def configure(
    level: str, stream: TextIO | io.TextIOBase | None = None, form: Form = "json"
) -> None:
    """Send all logging of the process to stderr. Calling it again replaces it.

    uvicorn's loggers lose their own handlers; its access log is off, because it writes raw paths
    and ours says more. Threads that die of an exception are logged like everything else.

    Args:
        level: least severe line to write: debug, info, warning or error.
        stream: where to; stderr unless given.
        form: ``json``, ``text`` for people, or ``auto``, which is text on a terminal.
    """
    handler = QuietHandler(stream or sys.stderr)
    handler.setFormatter(formatter(form, is_terminal=handler.stream.isatty()))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, QuietHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("httpx", "httpcore"):  # whose lines have whole URLs, which may be secrets
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # ten lines of its insides at a start
    logging.captureWarnings(capture=True)
    threading.excepthook = _thread_died


def formatter(form: Form, *, is_terminal: bool) -> logging.Formatter:
    """The formatter of a form, as ``configure`` has it; in colour on a terminal that wants it."""
    if form == "json" or (form == "auto" and not is_terminal):
        return JsonFormatter()
    has_colour = is_terminal and wants_colour()
    return TerminalFormatter(_message, _told, describe, has_colour=has_colour)


class QuietHandler(logging.StreamHandler[Any]):
    """Writes lines, and drops one that cannot be written: the standard handler would print it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the parent's name
        """Say nothing: stderr is where the trouble is."""


def set_model_digest(digest: str | None) -> None:
    """Put the digest of what is served into every line from now on; None leaves it out."""
    _set("model_digest", digest)


def set_arm(arm: str | None) -> None:
    """The same with the name of the experiment arm."""
    _set("arm", arm)


def _set(name: str, value: str | None) -> None:
    _context.pop(name, None)
    if value is not None:
        _context[name] = value


def set_masking(masked: Callable[[str], str] | None) -> None:
    """Pass the texts of every line through this from now on, but for those of requests.

    These have names and figures alone.
    """
    global _masking
    _masking = masked


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON. Never raises."""

    def format(self, record: logging.LogRecord) -> str:
        """``ts``, ``level``, ``logger``, ``msg``, arm, digest, extras, ``exception`` if any."""
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        fields: dict[str, Any] = {
            "ts": stamp.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": _message(record),
            **_context,
        }
        for name, value in _extras(record).items():
            fields[f"{name}_" if name in fields else name] = value
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = describe(record.exc_info[1])
        try:
            return orjson.dumps(fields, default=_type_name).decode()
        except TypeError:  # integers beyond 64 bits, keys that are no text, lone surrogates, loops
            kept = {name: fields.pop(name) for name in ("ts", "level", "logger", "msg")}
            return json.dumps(kept | {"unwritable": sorted(fields)})


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    is_ours = record.name == access.name
    return {
        name: _masked(value) if isinstance(value, str) and not is_ours else value
        for name, value in vars(record).items()
        if name not in _STANDARD
    }


def _masked(text: str) -> str:
    """The text as it may be logged. Never raises."""
    if _masking is None:
        return text
    try:
        return _masking(text)
    except Exception:  # noqa: BLE001 - a line that might hold a secret is no line
        return "[a text that could not be masked]"


def _told(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that a line for people has beside its message; of an object, only its type."""
    arm = {"arm": _context["arm"]} if "arm" in _context else {}
    told: dict[str, Any] = {}
    for name, value in _extras(record).items():
        parts = value if isinstance(value, Mapping) else {name: value}
        told |= {str(part): _scalar(parts[part]) for part in parts}
    return told | arm


def _scalar(value: object) -> object:
    is_plain = value is None or isinstance(value, (str, float))
    is_plain |= isinstance(value, int) and value.bit_length() <= 64
    return value if is_plain else _type_name(value)


def describe(error: BaseException) -> list[dict[str, Any]]:
    """An exception and its causes as types and locations, innermost frame last.

    Its message is left out, as are values: both may hold text of a client.
    """
    chain: list[dict[str, Any]] = []
    current: BaseException | None = error
    while current is not None and len(chain) < MAX_FRAMES:
        frames = traceback.extract_tb(current.__traceback__)[-MAX_FRAMES:]
        kind = type(current)
        chain.append(
            {
                "type": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
                "at": [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames],
            }
        )
        hidden = current.__suppress_context__
        current = current.__cause__ or (None if hidden else current.__context__)
    return chain


class AccessLog:
    """Writes one line per finished request (a RequestListener).

    Probes are written at level debug, also those that say "not yet", so that an orchestrator that
    asks every second does not drown the rest; other answers of 500 and above at warning; all else
    at info.
    """

    def request_finished(self, record: RequestRecord) -> None:
        """Write the line. Never raises: a record that cannot be read is logged as such."""
        try:
            level, fields = _level(record), _fields(record)
        except (AttributeError, TypeError, ValueError) as error:
            log.warning("a request was not logged", extra={"error": type(error).__name__})
            return
        access.log(level, "request", extra=fields)


def _level(record: RequestRecord) -> int:
    is_quiet = record.route in PROBES or record.route.startswith(PARTS)
    if is_quiet and record.status != 500:
        return logging.DEBUG
    return logging.WARNING if record.status >= 500 else logging.INFO


def _fields(record: RequestRecord) -> dict[str, Any]:
    timeline = record.timeline
    return {
        "request_id": record.request_id,
        "key_id": record.key_id,
        "model": record.model,
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "stream": record.is_stream,
        "prompt_tokens": timeline.usage.prompt_tokens,
        "completion_tokens": timeline.usage.completion_tokens,
        "cached_tokens": timeline.usage.cached_tokens,
        "queue_s": _rounded(timeline.queue_s),
        "ttft_s": _rounded(timeline.ttft_s),
        "tokens_per_s": round(1 / tpot_s, 3) if (tpot_s := timeline.tpot_s) else None,
        "duration_s": _rounded(timeline.e2e_s),
        "finish_reason": timeline.finish_reason,
        "error_code": record.error_code,
        "disconnected": record.is_disconnected,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):  # arguments that do not fit the format
        message = str(record.msg)
    # asyncio appends reprs of tasks, call-backs and exceptions, with their values.
    if record.name == "asyncio":
        message = _VALUES.sub("", message).rstrip(" :")
    return message if record.name == access.name else _masked(message)


def _short(filename: str) -> str:
    return "/".join(PurePath(filename).parts[-3:])


def _type_name(value: object) -> str:
    return f"<{type(value).__name__}>"


def _thread_died(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit or args.exc_value is None:
        return
    log.error(
        "a thread died",
        extra={"thread_name": args.thread.name if args.thread else None},
        exc_info=args.exc_value,
    )
