"""The directory: every name that clients may ask for, and what serves it.

Its names are known from the start; what serves them is published once the model is loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

from models.quality import Quality
from models.refs import QuantScheme, Scheme
from models.rules.names import quoted
from serve.errors import ModelNotFound, NotReady
from serve.service.engine_queue import EngineQueue
from serve.suggestion import near
from serve.version import server_version

if TYPE_CHECKING:
    from serve.engine.protocol import Engine, EngineInfo
    from serve.pipeline.events import Event, GenerateRequest, Generation, Prompt

LOADING_RETRY_S = 5
SHOWN_CHARS = 60

ServedState = Literal["loading", "resident"]


class TextPipeline(Protocol):
    """A pipeline as the service sees it; serve.pipeline.generate.Pipeline documents it."""

    @property
    def engine(self) -> Engine: ...
    def check(self, generation: Generation) -> None: ...
    def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]: ...
    async def encode(self, prompt: Prompt) -> list[int]: ...
    def decode(self, token_ids: Sequence[int]) -> str: ...
    def token_text(self, token_id: int) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Facts about the weights that are served.

    Attributes:
        digest: of the model's files, as they were proven; None where it is not known.
        scheme: how they are stored.
        quality: what that cost, measured when they were made; None where nothing is known.
    """

    digest: str | None = None
    scheme: Scheme = QuantScheme.NONE
    quality: Quality | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One name, and what serves it.

    Attributes:
        name: what clients ask for.
        model: the model's own name; of an adapter, that of the model which it adapts.
        adapter: the name of the adapter; None is the plain model.
        created: Unix seconds.
        pipeline: None while the model loads.
        engine_queue: the queue in front of its engine; None as long.
    """

    name: str
    model: str
    adapter: str | None = None
    created: int
    weights: Weights = field(default_factory=Weights)
    pipeline: TextPipeline | None = None
    engine_queue: EngineQueue | None = None

    @property
    def state(self) -> ServedState:
        return "loading" if self.pipeline is None else "resident"

    @property
    def fingerprint(self) -> str:
        """Changes when the same seed may give other tokens."""
        return _fingerprint(self.adapter or self.model, self.resident().engine.info)

    def resident(self) -> TextPipeline:
        """The pipeline.

        Raises:
            NotReady: the model is still loading.
        """
        if self.pipeline is None:
            raise _not_ready()
        return self.pipeline

    @property
    def queue(self) -> EngineQueue:
        """The queue in front of the engine.

        Raises:
            NotReady: the model is still loading.
        """
        if self.engine_queue is None:
            raise _not_ready()
        return self.engine_queue


QueueFor = Callable[[TextPipeline], EngineQueue]
"""Makes the queue in front of a pipeline's engine."""


def queue_for(pipeline: TextPipeline) -> EngineQueue:
    """A queue in which all tenants weigh the same, without a bound on tokens."""
    return EngineQueue(max_running=pipeline.engine.info.max_num_seqs)


class Directory:
    """All that is served, by name.

    Args:
        names: of the model; the first is its own, and answers where a client names none.
        adapters: names of its adapters.
        created: Unix seconds, for all of them.
        queue_for: asked for each pipeline that is published.
    """

    def __init__(
        self,
        names: Sequence[str],
        adapters: Sequence[str] = (),
        *,
        created: int,
        queue_for: QueueFor = queue_for,
    ) -> None:
        self._queue_for = queue_for
        model = names[0]
        plain = [Served(name=name, model=model, created=created) for name in names]
        adapted = [
            Served(name=name, model=model, adapter=name, created=created) for name in adapters
        ]
        self._entries = {served.name: served for served in (*plain, *adapted)}
        self._default = model

    @property
    def entries(self) -> tuple[Served, ...]:
        return tuple(self._entries.values())

    @property
    def default(self) -> Served:
        return self._entries[self._default]

    def find(self, name: str | None) -> Served:
        """The entry of a name; the model itself where a client gives none.

        Raises:
            ModelNotFound: nothing of that name is served.
        """
        if name is None:
            return self.default
        served = self._entries.get(name)
        if served is None:
            shown, served_names = name[:SHOWN_CHARS], ", ".join(self._entries)
            raise ModelNotFound(
                f"The model {quoted(shown)} is not served here.{near(shown, self._entries)} "
                f"Served: {served_names}.",
                param="model",
            )
        return served

    def publish(self, pipeline: TextPipeline, weights: Weights) -> None:
        """Let everything be served by this pipeline from now on."""
        queue = self._queue_for(pipeline)
        self._entries = {
            name: replace(served, pipeline=pipeline, weights=weights, engine_queue=queue)
            for name, served in self._entries.items()
        }


def _not_ready() -> NotReady:
    return NotReady(
        "The model is still loading; /startupz shows how far it is.", retry_after_s=LOADING_RETRY_S
    )


@lru_cache(maxsize=64)
def _fingerprint(model: str, info: EngineInfo) -> str:
    parts = (model, info.name, info.dtype, info.device, info.vocab_size, server_version())
    return "fp_" + hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
