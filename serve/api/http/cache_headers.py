"""The header by which a client says what use it makes of the response cache.

::

    cache-control: no-store      answer anew, and keep the answer from later requests
    cache-control: no-cache      answer anew; the answer may be kept
    cache-control: max-age=60    a kept answer will do that is at most 60 s old

Other directives are passed over, as RFC 9111 asks of a cache (section 5.2.3). ``max-age=0`` is
``no-cache``.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.types import Scope

from serve.api.http.middleware import header_values
from serve.errors import InvalidRequest
from serve.service.call import Call
from serve.service.response_cache.use import USUAL, CacheUse

HEADER: Final = "cache-control"
MAX_AGE_S: Final = 10**9
_SECONDS = re.compile(r"[0-9]{1,10}")
_SHOWN_CHARS: Final = 40


def read_cache_headers(scope: Scope, call: Call) -> None:
    """Note in the call what use its client makes of the response cache.

    Raises:
        InvalidRequest: an age that is no number of seconds.
    """
    values = header_values(scope, HEADER.encode())
    if values:
        call.cache_use = _use_of(b",".join(values).decode("latin-1"))


def _use_of(text: str) -> CacheUse:
    use = USUAL
    for directive in text.split(","):
        name, _, value = directive.strip().partition("=")
        match name.strip().lower():
            case "no-store":
                return CacheUse(reads=False, writes=False)
            case "no-cache":
                use = CacheUse(reads=False)
            case "max-age" if use.reads:
                seconds = _seconds(value.strip().strip('"'))
                use = CacheUse(reads=seconds > 0, max_age_s=seconds)
    return use


def _seconds(value: str) -> int:
    if not _SECONDS.fullmatch(value):
        raise InvalidRequest(
            f"{HEADER} has max-age={value[:_SHOWN_CHARS]!r}: it has to be a whole number of "
            "seconds. Leave it out to take any kept answer.",
            param=HEADER,
        )
    return min(int(value), MAX_AGE_S)
