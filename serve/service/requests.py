"""The life of a request: authenticate → authorise → reserve → wait → run → settle → record.

Whatever brings a request, HTTP or a caller within the process, leads it along this line, and there
is no way round it::

    with service.call(method=..., route=...) as call:     record, at the end, once
        service.authenticate(call, credentials)           401 403
        service.authorise(call, scope)                    403
        served = service.served(call, name)               404
        async with service.generate(call, served, generation) as events:
            ...                                           503 504 · screen · reserve · wait ·
                                                          audit · run · settle

What can refuse is a call in that line. Logs and metrics are listeners: they are told of the record
once, when all is over, and steer nothing.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterator,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from serve import timeline
from serve.errors import (
    Draining,
    Forbidden,
    InternalError,
    NoContentFilter,
    RequestError,
)
from serve.governance.audit.trail import Audit
from serve.governance.identity.authenticators import Authenticator, authenticate
from serve.governance.identity.credentials import Credentials
from serve.governance.moderating import Moderation, Moderator
from serve.governance.pass_through import NoAudit, NoLimits
from serve.governance.principal import Principal, Scope
from serve.governance.reservations import Reservations
from serve.governance.screening import Screen, Screens
from serve.observe.record import RequestListener, RequestRecord
from serve.pipeline.events import Event, Generation
from serve.service import allowed_models
from serve.service.call import Call
from serve.service.directory import Directory, Served
from serve.service.recording import Recorder
from serve.service.response_cache.answers import ResponseCache
from serve.service.running import Running
from serve.timeline import Timeline

DRAINING_RETRY_S = 5
STATUS_OK = 200
STATUS_CALLER_LEFT = 499


class Service:
    """All requests, from whoever brings them.

    Args:
        directory: what is served.
        authenticators: who is known, in the order in which they are asked.
        reservations: limits that may refuse a request.
        audit: the trail that a request leaves.
        screen: what prompts and answers pass.
        answers: kept for requests that come again; None keeps none.
        moderator: what moderations are answered from; None where there is none.
        listeners: told of every finished request.
        clock: monotonic seconds.

    Attributes:
        is_leaving: the server will end; it says so to probes, and still takes work.
        is_draining: no new work; what runs may finish.
        recorder: of what runs nothing in the engine.
    """

    def __init__(
        self,
        directory: Directory,
        authenticators: Sequence[Authenticator],
        *,
        reservations: Reservations | None = None,
        audit: Audit | None = None,
        screen: Screen | None = None,
        answers: ResponseCache | None = None,
        moderator: Moderator | None = None,
        listeners: Sequence[RequestListener] = (),
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self.directory = directory
        self.is_leaving = False
        self.is_draining = False
        self._authenticators = authenticators
        self._reservations = reservations or NoLimits()
        self._audit = audit or NoAudit()
        self.recorder = Recorder(self._audit)
        self._screen = screen or Screens()
        self._answers = answers
        self._moderator = moderator
        self._listeners = listeners
        self._clock = clock

    @contextmanager
    def call(self, *, method: str, route: str = "unmatched") -> Iterator[Call]:
        """Open a call. It is recorded when the block ends, whatever happened in it.

        Args:
            method: HTTP's, or the one that says the same of another transport.
            route: the template of the route; the block may set it later.
        """
        record = RequestRecord(
            request_id="req-" + secrets.token_hex(16),  # ours: nobody can forge an entry of the log
            method=method,
            route=route,
            timeline=Timeline(arrived_at=self._clock()),
        )
        call = Call(record=record, created=int(time.time()))
        try:
            yield call
        except RequestError as error:
            call.failed(error)
            record.status = record.status or error.status
            raise
        except (asyncio.CancelledError, GeneratorExit):
            record.is_disconnected = record.is_disconnected or not record.status
            raise
        except Exception:
            call.failed(InternalError("The server failed on this request: a defect of ours."))
            record.status = record.status or InternalError.status
            raise
        finally:
            if not record.status:
                left = record.is_disconnected
                record.status = STATUS_CALLER_LEFT if left else STATUS_OK
            record.timeline.finished_at = self._clock()
            for listener in self._listeners:
                listener.request_finished(record)

    def authenticate(self, call: Call, credentials: Credentials) -> None:
        """Learn who asks.

        Raises:
            InvalidApiKey, Forbidden: nobody who may.
        """
        call.principal = authenticate(self._authenticators, credentials)
        call.record.key_id = call.principal.key_id
        call.record.tenant, call.record.owner = call.principal.tenant, call.principal.owner

    def authorise(self, call: Call, scope: Scope | None) -> None:
        """Check that the caller may do what needs this scope; None needs none.

        Raises:
            Forbidden: the key's scopes do not hold it.
        """
        scopes = _caller(call).scopes
        if scope is not None and scope not in scopes:
            held = ", ".join(sorted(scopes)) or "none"
            raise Forbidden(
                f"This needs the scope '{scope}', and the key's scopes are: {held}. Ask the "
                "operator for a key that has it."
            )

    def check_ready(self) -> None:
        """Check that balancers are to send work here.

        Raises:
            NotReady: the model is still loading.
            Draining: the server is shutting down, or about to.
            AuditUnavailable: the audit log cannot be written.
        """
        self.check_accepting()
        if self.is_leaving:
            raise _draining()

    def check_accepting(self) -> None:
        """Check that new work is taken.

        Raises:
            NotReady: the model is still loading.
            Draining: the server is shutting down.
            AuditUnavailable: the audit log cannot be written.
        """
        self.directory.default.resident()
        if self.is_draining:
            raise _draining()
        self._audit.check()

    def served(self, call: Call, model: str | None) -> Served:
        """Find what serves the model that the caller names; its name goes into the record.

        Raises:
            ModelNotFound: nothing of that name is served to this caller.
        """
        served = allowed_models.find(self.directory, _caller(call), model)
        call.record.model = served.name
        return served

    def models_of(self, call: Call) -> list[Served]:
        """All that is served to the caller."""
        return allowed_models.served_to(self.directory, _caller(call))

    @asynccontextmanager
    async def generate(
        self, call: Call, served: Served, generation: Generation
    ) -> AsyncIterator[AsyncGenerator[Event, None]]:
        """Run a generation: its events, while the block is open.

        The prompts are rendered, room is reserved and the request's turn is waited for when the
        block is entered: the events are those after ``Started``. A call that wants to be told while
        it waits gets ``Queued`` events first, and what refuses it then is raised from among them.
        Leaving it, at any point, frees everything and settles what was reserved.

        Raises:
            Forbidden, ModelNotFound: not for this caller, whatever was asked before.
            InvalidRequest: the model can never run it.
            DeadlineExceeded: not in time; also from within the block.
            RequestError: not now: drained, over a limit, or the engine is down.
        """
        self.authorise(call, "infer")
        self.check_accepting()
        record = call.record
        allowed_models.check(_caller(call), served)
        record.model = served.name
        pipeline = served.resident()
        pipeline.check(generation)
        # While it is down a stream is refused by status: one that began could only end in an error.
        await pipeline.engine.check_health()
        running = Running(
            call,
            _caller(call),
            served,
            generation,
            reservations=self._reservations,
            audit=self._audit,
            screen=self._screen,
            answers=self._answers,
            clock=self._clock,
        )
        await running.check()
        try:
            async with AsyncExitStack() as stack:
                yield await running.open(stack)
        except RequestError as error:
            call.failed(error)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            if record.error_code is None and not record.is_disconnected:
                if self.is_draining:
                    call.failed(_draining())
                else:
                    record.is_disconnected = True
            raise
        finally:
            await running.end()

    async def moderate(self, call: Call, texts: Sequence[str]) -> tuple[str, list[Moderation]]:
        """The version of the content filter's rules, and what they find in texts.

        Raises:
            Forbidden: not for this caller.
            NoContentFilter: the server has none.
            ContentFilterFailed: it could not look at them.
        """
        self.authorise(call, "infer")
        if self._moderator is None:
            raise NoContentFilter(
                "This server has no content filter, so it cannot moderate: the operator names the "
                "rules by --content-filter-file."
            )
        return await self._moderator.moderate(_caller(call), call.record, texts)


def _caller(call: Call) -> Principal:
    """The principal. Raises InternalError where the call was never authenticated."""
    if call.principal is None:
        raise InternalError("The request has no principal.")
    return call.principal


def _draining() -> Draining:
    return Draining(
        "The server is shutting down. Ask again; another replica may answer.",
        retry_after_s=DRAINING_RETRY_S,
    )
