"""A stream of server-sent events, read into a trace: tokens, finish reason, usage, errors.

Lines end in LF or CRLF, a space after ``data:`` may be there or not, comments and other fields are
passed over, and an event may have several ``data:`` lines (WHATWG HTML, section 9.2.6). Usage is
taken from whichever event has it.
"""

from __future__ import annotations

from typing import Any

import orjson

from benchmarks.trace import Trace

SHOWN_BYTES = 300
"""Of an answer that is no stream of events, and of an error."""
_DONE = b"[DONE]"


class EventReader:
    """Takes the body of an answer piece by piece and notes in ``trace`` what it says.

    Attributes:
        is_done: ``[DONE]`` came.
        error: what the server said of an error, or did not write as JSON; None while there is none.
        beginning: of the body, while no event has come.
    """

    __slots__ = ("_data", "_rest", "beginning", "error", "is_done", "num_events", "trace")

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.is_done = False
        self.error: str | None = None
        self.beginning = b""
        self.num_events = 0
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, body: bytes, at: float) -> None:
        """Take what arrived at that time."""
        if not self.num_events:
            self.beginning = (self.beginning + body)[:SHOWN_BYTES]
        lines = (self._rest + body).split(b"\n") if self._rest else body.split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line and line != b"\r":
                self._field(line)
            elif self._data:
                self._dispatch(at)

    def finish(self, at: float) -> None:
        """Take the last event where only its end is missing; a part of one says nothing."""
        self._field(self._rest)
        self._rest = b""
        last = b"\n".join(self._data)
        if last.strip() == _DONE or _is_json(last):
            self._dispatch(at)

    def _field(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:])
        elif line.startswith(b"error:"):  # llama.cpp's before 2025
            self._fail(line[6:])

    def _dispatch(self, at: float) -> None:
        event = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        self.num_events += 1
        self._event(event, at)

    def _event(self, text: bytes, at: float) -> None:
        try:
            event = orjson.loads(text)
        except ValueError:
            if text.strip() == _DONE:
                self.is_done = True
            else:
                self.error = self.error or f"an event that is no JSON: {_shown(text)}"
            return
        if not isinstance(event, dict):
            self.error = self.error or f"an event that is no JSON object: {_shown(text)}"
        elif event.get("error"):
            self._fail(orjson.dumps(event["error"]))
        else:
            try:
                self._chunk(event, at)
            except (AttributeError, TypeError, ValueError, OverflowError):
                self.error = self.error or f"an event of another form: {_shown(text)}"

    def _chunk(self, event: dict[str, Any], at: float) -> None:
        trace = self.trace
        has_tokens = False
        for choice in event.get("choices") or ():
            delta = choice.get("delta")
            if delta is None:
                has_tokens = has_tokens or bool(choice.get("text"))
            elif delta.get("content"):
                has_tokens = True
            else:  # a tool call, reasoning, a refusal
                has_tokens = has_tokens or any(
                    value for name, value in delta.items() if name != "role"
                )
            if reason := choice.get("finish_reason"):
                trace.finish_reason = str(reason)
        if has_tokens:
            trace.arrivals_at.append(at)
        if usage := event.get("usage"):
            trace.prompt_tokens = int(usage.get("prompt_tokens") or 0)
            trace.completion_tokens = int(usage.get("completion_tokens") or 0)
            details = usage.get("prompt_tokens_details") or {}
            trace.cached_tokens = int(details.get("cached_tokens") or 0)

    def _fail(self, text: bytes) -> None:
        self.error = self.error or f"error in the stream: {_shown(text)}"


def _shown(text: bytes) -> str:
    return text[:SHOWN_BYTES].decode("utf-8", "replace").strip()


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True
