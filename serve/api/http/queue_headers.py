"""Headers about a request's turn: its class, its deadline, and whether it is told how it waits.

::

    x-request-class:      interactive | batch | background
    x-request-timeout-ms: whole milliseconds, 1 to 86400000
    x-queue-updates:      true | false                       streams only
    x-stainless-retry-count: 1 and more: it was refused before; of OpenAI's clients

``x-stainless-read-timeout``, which OpenAI's clients send, is not read: it bounds the time between
two pieces of an answer, 600 s by default, and says nothing of the whole. A stream that goes on
would be stopped by it. A client that gives up leaves, which is noticed at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from starlette.types import Scope

from serve.api.dialect import Parsed
from serve.api.http.middleware import header_values
from serve.errors import InvalidRequest
from serve.service.call import Call
from serve.service.fair_queue import CLASSES

CLASS_HEADER: Final = "x-request-class"
TIMEOUT_HEADER: Final = "x-request-timeout-ms"
UPDATES_HEADER: Final = "x-queue-updates"
RETRY_HEADER: Final = "x-stainless-retry-count"

MAX_TIMEOUT_MS: Final = 86_400_000
_NAMES = frozenset(
    name.encode() for name in (CLASS_HEADER, TIMEOUT_HEADER, UPDATES_HEADER, RETRY_HEADER)
)
_NUMBER = re.compile(r"[1-9][0-9]{0,7}")
_SHOWN_CHARS = 40


def read_queue_headers(scope: Scope, call: Call, parsed: Parsed) -> None:
    """Note in the call what its headers and its body say of its turn.

    Raises:
        InvalidRequest: a header that is not of its form, or that comes twice.
    """
    record = call.record
    if not any(name in _NAMES for name, _ in scope["headers"]):  # as most have none of them
        record.request_class = parsed.request_class or record.request_class
        return
    given = _one_of(scope, CLASS_HEADER, CLASSES)
    record.request_class = next(
        (name for name in CLASSES if name == given), parsed.request_class or record.request_class
    )
    call.timeout_s = _timeout_s(scope)
    counts = header_values(scope, RETRY_HEADER.encode())
    call.is_retry = any(_NUMBER.fullmatch(count.decode("latin-1")) for count in counts)
    call.wants_queue_updates = _one_of(scope, UPDATES_HEADER, ("true", "false")) == "true"
    if call.wants_queue_updates and not parsed.is_stream:
        raise InvalidRequest(
            f"{UPDATES_HEADER} is true, and this is no stream: a whole answer has no place for "
            "them. Set stream to true, or leave the header out.",
            param=UPDATES_HEADER,
        )


def _timeout_s(scope: Scope) -> float | None:
    value = _value(scope, TIMEOUT_HEADER)
    if value is None:
        return None
    if _NUMBER.fullmatch(value) is None or int(value) > MAX_TIMEOUT_MS:
        raise InvalidRequest(
            f"{TIMEOUT_HEADER} is {_shown(value)}: it has to be a whole number of milliseconds "
            f"from 1 to {MAX_TIMEOUT_MS}.",
            param=TIMEOUT_HEADER,
        )
    return int(value) / 1000


def _one_of(scope: Scope, name: str, allowed: Collection[str]) -> str | None:
    value = _value(scope, name)
    if value is not None and value not in allowed:
        raise InvalidRequest(
            f"{name} is {_shown(value)}: it has to be one of {', '.join(allowed)}.", param=name
        )
    return value


def _value(scope: Scope, name: str) -> str | None:
    """The value of a header; None where there is none."""
    values = header_values(scope, name.encode())
    if len(values) > 1:
        raise InvalidRequest(f"{name} comes {len(values)} times: send it once.", param=name)
    return values[0].decode("latin-1").strip() if values else None


def _shown(value: str) -> str:
    return repr(value[:_SHOWN_CHARS])
