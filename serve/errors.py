"""Every error the server raises on purpose, each with its HTTP status and OpenAI code.

One list, of more than 400 lines, so that no code is given twice.

::

    ServeError
    ├── StartupError                      the process cannot start; exit code 2, no HTTP status
    └── RequestError                      answered to the client, in OpenAI's envelope
        ├── InvalidRequest            400 the client must change the request
        │   ├── InvalidJson           400 the body is not strict JSON
        │   ├── UnsupportedField      400 a known field that this server does not (yet) honour
        │   ├── ContextLengthExceeded 400 the prompt leaves no room in the model's context
        │   ├── ContentFiltered       400 a rule of the content filter blocks the prompt
        │   └── PersonalDataBlocked   400 data that a rule of masking does not let pass
        ├── InvalidApiKey             401
        ├── OAuthError                400 a request for a token that is refused
        │   ├── UnsupportedGrantType  400
        │   ├── InvalidScope          400
        │   └── InvalidClient         401 no such client, or another secret
        ├── TooManyFailures           429 many wrong client secrets, all together
        ├── Forbidden                 403
        ├── RouteNotFound             404
        │   ├── ModelNotFound         404
        │   ├── NoLedger              404 the server keeps no ledger
        │   ├── AnswerNotFound        404 no answer of that id is the caller's
        │   └── NoContentFilter       404 the server has no content filter
        ├── MethodNotAllowed          405
        ├── RequestTimeout            408 the body did not arrive in time
        ├── BodyTooLarge              413
        ├── UnsupportedMediaType      415
        ├── RateLimited               429 over a rate, or too many at once; later it fits
        ├── InsufficientQuota         429 a budget is used up; until it renews nothing helps
        ├── HeadersTooLarge           431
        ├── HttpVersionNotSupported   505 another HTTP than 1.1 and 1.0
        ├── InternalError             500 a defect of ours; the message carries no detail
        │   └── MaskingFailed         500 what could not be masked is not sent
        ├── ContentFilterFailed       500 the content filter failed, so nothing passes
        ├── AnswerRejected            502 the answer is not of the form that its rules ask for
        ├── DeadlineExceeded          504 not within the time that client and server allow
        └── Unavailable               503 always with Retry-After
            ├── QueueFull             503
            ├── BudgetStoreUnavailable 503 a budget cannot be asked, or usage not be written down
            ├── Draining              503
            ├── NotReady              503 the model is still loading
            ├── UsageUnavailable      503 the ledger's database is away
            ├── FeedbackUnavailable   503 the database that takes feedback is away
            ├── KeyStoreUnavailable   503 the keys of callers cannot be read
            ├── AuditUnavailable      503 the audit log cannot be written, so nothing may run
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
        is_final: the same request is refused again, however often it is sent.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    retry_after_s: int | None = None
    is_final: bool = False

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


class ContentFiltered(InvalidRequest):
    """A rule of the content filter blocks the prompt. The message names it, and not what it hit."""

    code = "content_filter"


class PersonalDataBlocked(InvalidRequest):
    """The prompt holds data of a kind that a rule of masking blocks; the message names the rule."""

    code = "personal_data_blocked"


class InvalidApiKey(RequestError):
    """No key, or one that is malformed, unknown, disabled or expired."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class OAuthError(RequestError):
    """A request for a token that is refused; answered as RFC 6749 has it, section 5.2."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class UnsupportedGrantType(OAuthError):
    """The grant is another than ``client_credentials``."""

    code = "unsupported_grant_type"


class InvalidScope(OAuthError):
    """A scope that there is not, or that the client's key does not have."""

    code = "invalid_scope"


class InvalidClient(OAuthError):
    """No client of that id, another secret, or a key that is revoked or expired."""

    status = 401
    code = "invalid_client"


class TooManyFailures(RequestError):
    """Many requests for tokens with wrong secrets came, from whomever; right ones still pass."""

    status = 429
    type = "invalid_request_error"
    code = "too_many_failures"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


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


class AnswerNotFound(RouteNotFound):
    """No answer of that id was given to the caller, whoever else it may have been given to."""

    code = "answer_not_found"


class NoContentFilter(RouteNotFound):
    """The server has no content filter, so there is nothing to answer from."""

    code = "no_content_filter"


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


class RateLimited(RequestError):
    """A limit of requests or tokens per minute, or of requests at once, leaves no room now.

    Args:
        wait_ms: until there is room, if nothing else is asked meanwhile; None where no waiting
            helps, as the request is larger than the limit itself.
    """

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, wait_ms: int | None = None) -> None:
        super().__init__(message)
        self.wait_ms = wait_ms
        self.is_final = wait_ms is None
        if wait_ms is not None:
            self.retry_after_s = max(1, -(-wait_ms // 1000))


class InsufficientQuota(RequestError):
    """A budget of tokens or money has no room for this request until its period ends."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    is_final = True


class InternalError(RequestError):
    """A defect of ours. The message carries the request id and no detail; the log has the rest."""

    is_final = True


class ContentFilterFailed(RequestError):
    """The content filter failed, or took too long: what it did not look at does not pass."""

    code = "content_filter_failed"
    is_final = True


class AnswerRejected(RequestError):
    """Neither the answer nor the second one is of the form that the operator's rules ask for."""

    status = 502
    type = "server_error"
    code = "answer_rejected"
    is_final = True


class MaskingFailed(InternalError):
    """Masking failed, so what it was to mask is neither answered nor sent."""

    code = "masking_failed"


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


class BudgetStoreUnavailable(Unavailable):
    """The database is away, and without it no budget can be kept, or no more usage written down."""

    code = "budget_store_unavailable"


class DeadlineExceeded(RequestError):
    """The answer did not, or would not, come within the time that client and server allow."""

    status = 504
    type = "server_error"
    code = "deadline_exceeded"

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        if retry_after_s is None:  # the next attempt would have no more time than this one
            self.headers["x-should-retry"] = "false"


class Draining(Unavailable):
    """The server is shutting down and finishes what it has."""

    code = "draining"


class NotReady(Unavailable):
    """The model is still loading."""

    code = "not_ready"


class UsageUnavailable(Unavailable):
    """The database that holds the ledger does not answer, so there is no report of usage now."""

    code = "usage_unavailable"


class FeedbackUnavailable(Unavailable):
    """The database that holds feedback does not answer. Nothing was lost: send it again."""

    code = "feedback_unavailable"


class EngineDeadError(Unavailable):
    """The engine stopped. Raised from every open stream, and for new requests until it is back."""

    code = "engine_dead"


class KeyStoreUnavailable(Unavailable):
    """The keys of callers, or of their identity provider, could not be read for too long."""

    code = "key_store_unavailable"


class AuditUnavailable(Unavailable):
    """The audit log cannot be written, and this server runs nothing that it does not record."""

    code = "audit_unavailable"


class StepFailed(Unavailable):
    """The engine failed while it computed this request, which may be sent again; it goes on."""

    code = "step_failed"
