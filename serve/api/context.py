"""What the routes share: the server's state, and each request's record within its ASGI scope."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from starlette.requests import Request
from starlette.types import Scope, Send

from models.quality import Quality
from models.refs import QuantScheme
from serve.config import Config
from serve.errors import Draining, ModelNotFound, NotReady
from serve.governance.keys import KeyRing
from serve.observe.record import RequestListener, RequestRecord
from serve.observe.startup import Startup

if TYPE_CHECKING:
    from serve.engine.protocol import Engine
    from serve.pipeline.events import Event, GenerateRequest, Prompt

RECORD_KEY = "intramural.record"
SEND_KEY = "intramural.send"
LOADING_RETRY_S = 5
DRAINING_RETRY_S = 5


class TextPipeline(Protocol):
    """What the routes need of serve.pipeline.generate.Pipeline, which documents it."""

    @property
    def engine(self) -> Engine: ...
    def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]: ...
    async def encode(self, prompt: Prompt, *, add_special_tokens: bool = True) -> list[int]: ...
    def decode(self, token_ids: Sequence[int]) -> str: ...
    def token_text(self, token_id: int) -> str: ...


class Exposition(Protocol):
    """What /metrics needs of serve.observe.metrics.Metrics: a body and its content type."""

    def render(self) -> tuple[bytes, str]: ...


@dataclass(slots=True, kw_only=True)
class ServerState:
    """The server as its routes see it. Bootstrap makes it, and sets what changes.

    Attributes:
        keys: None where no key file is configured; every caller is anonymous then.
        pipeline: None while the model loads.
        is_leaving: the server will end; it says so to probes, and closes connections after their
            next answer, but still takes work.
        is_draining: no new work; what runs may finish.
        digest: of the model's files, as they were proven; None where it is not known.
        scheme: how its weights are stored.
        quality: what that cost, measured when they were made; None where nothing is known.
        model_created: Unix seconds, for /v1/models.
    """

    config: Config
    keys: KeyRing | None
    startup: Startup
    listeners: tuple[RequestListener, ...]
    metrics: Exposition | None
    model_created: int
    pipeline: TextPipeline | None = None
    is_leaving: bool = False
    is_draining: bool = False
    digest: str | None = None
    scheme: QuantScheme = QuantScheme.NONE
    quality: Quality | None = None

    def loaded_pipeline(self) -> TextPipeline:
        """The pipeline.

        Raises:
            NotReady: the model is still loading.
        """
        if self.pipeline is None:
            raise NotReady(
                "The model is still loading; /startupz shows how far it is.",
                retry_after_s=LOADING_RETRY_S,
            )
        return self.pipeline

    def accepting_pipeline(self) -> TextPipeline:
        """The pipeline, for new work.

        Raises:
            NotReady: the model is still loading.
            Draining: the server is shutting down.
        """
        pipeline = self.loaded_pipeline()
        if self.is_draining:
            raise self._draining()
        return pipeline

    def ready_pipeline(self) -> TextPipeline:
        """The pipeline, if balancers are to send work here.

        Raises:
            NotReady: the model is still loading.
            Draining: the server is shutting down, or about to.
        """
        pipeline = self.accepting_pipeline()
        if self.is_leaving:
            raise self._draining()
        return pipeline

    def _draining(self) -> Draining:
        return Draining(
            "The server is shutting down. Ask again; another replica may answer.",
            retry_after_s=DRAINING_RETRY_S,
        )

    def check_model(self, name: str | None) -> str:
        """The model's name as the client gave it, or its id where the client gave none.

        Raises:
            ModelNotFound: the server serves neither a model nor an adapter of that name.
        """
        names = self.config.model_names
        if name is None:
            return names[0]
        if name not in names and name not in self.config.adapters:
            served = ", ".join((*names, *self.config.adapters))
            raise ModelNotFound(
                f"The model {name[:60]!r} is not served here. Served: {served}.",
                param="model",
            )
        return name


def direct_send(scope: Scope, send: Send) -> Send:
    """The server's own ``send``, for the pieces of a body whose answer has begun.

    What wraps it on the way only looks at an answer's start, and costs each token of a stream six
    calls.
    """
    return cast("Send", scope.get(SEND_KEY, send))


def record_of(scope: Scope) -> RequestRecord:
    """The record that the door made for this request."""
    return cast("RequestRecord", scope[RECORD_KEY])


def state_of(request: Request) -> ServerState:
    """The state that create_app() was given."""
    return cast("ServerState", request.app.state.server)
