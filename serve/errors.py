"""Every error the server raises on purpose, each with its HTTP status and OpenAI code.

::

    ServeError
    ├── StartupError                      the process cannot start; exit code 2, no HTTP status
    └── RequestError                      answered to the client, in OpenAI's envelope
        ├── InvalidRequest            400 the client must change the request
        │   ├── InvalidJson           400 the body is not strict JSON
        │   ├── UnsupportedField      400 a known field that this server does not (yet) honour
        │   └── ContextLengthExceeded 400 the prompt leaves no room in the model's context
        ├── InvalidApiKey             401
        ├── Forbidden                 403
        ├── RouteNotFound             404
        │   └── ModelNotFound         404
        ├── MethodNotAllowed          405
        ├── RequestTimeout            408 the body did not arrive in time
        ├── BodyTooLarge              413
        ├── UnsupportedMediaType      415
        ├── HeadersTooLarge           431
        ├── HttpVersionNotSupported   505 another HTTP than 1.1 and 1.0
        ├── InternalError             500 a defect of ours; the message carries no detail
        └── Unavailable               503 always with Retry-After
            ├── QueueFull             503
            ├── Draining              503
            ├── NotReady              503 the model is still loading
            ├── UsageUnavailable      503 the ledger's database is away
            ├── StepFailed            503 the engine failed at this request, and goes on
            └── EngineDeadError       503 the engine stopped; in-band when it happens mid-stream

Messages say what is wrong, the limit, the actual value and what to do. They never hold a path of
the server, a traceback or text of a prompt.
"""

from __future__ import annotations

from typing import ClassVar


class ServeError(Exception):
    """Root of the tree."""


class StartupError(ServeError):
    """The server cannot start as it was asked to. The message is printed and the exit code is 2."""


class RequestError(ServeError):
    """An error that is answered to the client.

    Args:
        message: what is wrong, the limit, the actual value, what to do.
        param: the JSON field at fault as it was sent (``messages[0].role``), where there is one.

    Attributes:
        headers: names and values that its answer has beside those of every refusal.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    retry_after_s: int | None = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers: dict[str, str] = {}


class InvalidRequest(RequestError):
    """The client must change the request."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class InvalidJson(InvalidRequest):
    """The body is not strict JSON (UTF-8, no duplicate keys, no NaN, bounded depth)."""

    code = "invalid_json"


class UnsupportedField(InvalidRequest):
    """A field of OpenAI's API that this server knows and does not honour."""

    code = "unsupported_parameter"


class ContextLengthExceeded(InvalidRequest):
    """The prompt leaves no room for an answer in the model's context."""

    code = "context_length_exceeded"


class InvalidApiKey(RequestError):
    """No key, or one that is malformed, unknown, disabled or expired."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class Forbidden(RequestError):
    """The key is valid and may not do this."""

    status = 403
    type = "invalid_request_error"
    code = "forbidden"


class RouteNotFound(RequestError):
    """No such route."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(RouteNotFound):
    """The request names a model that this server does not serve."""

    code = "model_not_found"


class NoLedger(RouteNotFound):
    """The server keeps no ledger, so there is no usage to report."""

    code = "no_ledger"


class MethodNotAllowed(RequestError):
    """The route exists, for other methods."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class RequestTimeout(RequestError):
    """The request did not arrive in time."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class BodyTooLarge(RequestError):
    """The body is larger than the server accepts."""

    status = 413
    type = "invalid_request_error"
    code = "body_too_large"


class UnsupportedMediaType(RequestError):
    """The body is not plain JSON: another content type, or a content encoding."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class HeadersTooLarge(RequestError):
    """More header bytes than the server accepts."""

    status = 431
    type = "invalid_request_error"
    code = "headers_too_large"


class HttpVersionNotSupported(RequestError):
    """The request is of another HTTP version than 1.1 and 1.0."""

    status = 505
    type = "server_error"
    code = "http_version_not_supported"


class InternalError(RequestError):
    """A defect of ours. The message carries the request id and no detail; the log has the rest."""


class Unavailable(RequestError):
    """The server cannot take this request now; always answered with ``Retry-After``."""

    status = 503
    type = "server_error"
    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 1, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.retry_after_s = retry_after_s


class QueueFull(Unavailable):
    """Every slot is taken and the queue is at its bound."""

    code = "queue_full"


class Draining(Unavailable):
    """The server is shutting down and finishes what it has."""

    code = "draining"


class NotReady(Unavailable):
    """The model is still loading."""

    code = "not_ready"


class UsageUnavailable(Unavailable):
    """The database that holds the ledger does not answer, so there is no report of usage now."""

    code = "usage_unavailable"


class EngineDeadError(Unavailable):
    """The engine stopped. Raised from every open stream, and for new requests until it is back."""

    code = "engine_dead"


class StepFailed(Unavailable):
    """The engine failed while it computed this request, which may be sent again; it goes on."""

    code = "step_failed"
