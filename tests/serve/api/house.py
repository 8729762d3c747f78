"""A whole server in the test's own process: the real application, pipeline and fake engine.

``Caller`` speaks ASGI by hand where a test must leave at a moment of its choice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
from starlette.types import ASGIApp, Message, Scope

from serve.api.app import DIALECTS, create_app
from serve.api.dialect import Dialect
from serve.api.http.server import HttpServer, build_server
from serve.api.openai.errors import problem
from serve.api.routes import ServerState
from serve.composition.screens import open_screens
from serve.composition.tls import Encryption, build_encryption
from serve.config import Config
from serve.engine.fake import FakeEngine
from serve.engine.settings import EngineSettings, FakeSettings
from serve.governance.audit.trail import Audit
from serve.governance.identity.authenticators import authenticators_for
from serve.governance.identity.keys import KeyRing
from serve.governance.identity.short_tokens import ShortTokens
from serve.observe.metrics import Metrics
from serve.observe.record import RequestListener, RequestRecord
from serve.observe.startup import Startup
from serve.pipeline.admission import Admission
from serve.pipeline.generate import Pipeline
from serve.pipeline.render import Renderer
from serve.pipeline.template import ChatTemplate
from serve.service.directory import Directory, Weights
from serve.service.requests import Service
from tests.serve.pipeline.conftest import byte_level_tokenizer

MODEL = "demo"
CHAT = "/v1/chat/completions"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}<|im_start|>assistant\n"
)
TOKENIZER = byte_level_tokenizer()
EOS = TOKENIZER._tokenizer.token_to_id("<|im_end|>")
FILTER_FILE = Path(__file__).with_name("filter.toml")
"""Rules that no test's text has."""
ANSWER = "The audit log is in the state directory. 你好 🙂"


def script_of(text: str) -> list[int]:
    return [*TOKENIZER.encode(text, add_special_tokens=False), EOS]


def pipeline_of(
    *, max_waiting: int = 8, max_model_len: int = 1024, max_num_seqs: int = 4, **fake: Any
) -> Pipeline:
    fake.setdefault("script", script_of(ANSWER))
    settings = FakeSettings(vocab_size=TOKENIZER.vocab_size, eos_token_ids=frozenset({EOS}), **fake)
    engine = FakeEngine(
        EngineSettings(max_model_len=max_model_len, max_num_seqs=max_num_seqs, fake=settings)
    )
    return Pipeline(
        engine=engine,
        renderer=Renderer(TOKENIZER, ChatTemplate(CHATML, {})),
        admission=Admission(max_running=max_num_seqs, max_waiting=max_waiting),
    )


def is_free(pipeline: Pipeline) -> bool:
    load = pipeline.engine.load()
    return pipeline.num_admitted == load.num_running == load.num_waiting == 0


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it holds. A test that waits in vain is ended by this, too."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


@dataclass
class Records:
    """A listener that keeps what it is told."""

    all: list[RequestRecord] = field(default_factory=list)

    def request_finished(self, record: RequestRecord) -> None:
        self.all.append(record)

    @property
    def last(self) -> RequestRecord:
        return self.all[-1]


@dataclass
class House:
    state: ServerState
    records: Records
    app: ASGIApp
    encryption: Encryption = field(default_factory=Encryption)

    @property
    def service(self) -> Service:
        return self.state.service

    @property
    def metrics(self) -> Metrics:
        assert isinstance(self.state.metrics, Metrics)
        return self.state.metrics

    @property
    def pipeline(self) -> Any:
        return self.service.directory.default.resident()

    def publish(self, **weights: Any) -> None:
        """Say other things of the weights that are served."""
        self.service.directory.publish(self.pipeline, Weights(**weights))

    def client(self, **options: Any) -> httpx.AsyncClient:
        # A defect must show as an answer of 500, as it would to a client.
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://localhost", **options)


def house(
    pipeline: Any = None,
    *,
    keys: Path | None = None,
    is_loaded: bool = True,
    dialects: Sequence[Dialect] = DIALECTS,
    audit: Audit | None = None,
    listeners: Sequence[RequestListener] = (),
    **settings: Any,
) -> House:
    """A server. Without a pipeline it gets one of its own, unless it is still loading."""
    settings.setdefault("served_model_name", (MODEL,))
    records = Records()
    startup = Startup()
    config = Config(port=0, **settings)
    directory = Directory(config.model_names, tuple(config.adapters), created=1_700_000_000)
    ring = KeyRing.load(keys) if keys else None
    tokens = ShortTokens(ring, None) if ring else None
    chain = authenticators_for(ring) + ((tokens,) if tokens else ())
    metrics = Metrics()
    encryption = build_encryption(config, metrics)
    screening = open_screens(config, metrics)
    service = Service(
        directory,
        encryption.authenticators(chain),
        screen=screening.screens,
        moderator=screening.moderator,
        audit=audit,
        listeners=(records, metrics, *listeners),
    )
    state = ServerState(
        config=config, service=service, startup=startup, metrics=metrics, tokens=tokens
    )
    if is_loaded:
        directory.publish(pipeline or pipeline_of(), Weights())
        startup.complete()
    return House(state, records, create_app(state, dialects), encryption)


@asynccontextmanager
async def running(house: House, **options: Any) -> AsyncIterator[tuple[HttpServer, str]]:
    """The server on a real socket. Yields it with its URL."""
    listening = asyncio.Event()
    server = build_server(
        house.app,
        house.state.config,
        problem=problem,
        on_listening=lambda _port: listening.set(),
        tls=house.encryption.context,
        **options,
    )
    task = asyncio.create_task(server.serve())
    await listening.wait()
    try:
        scheme = "http" if house.encryption.files is None else "https"
        yield server, f"{scheme}://127.0.0.1:{server.port}"
    finally:
        server.stop()
        await task


def scope_of(path: str, *, method: str = "POST", headers: dict[str, str] | None = None) -> Scope:
    given = {"host": "localhost", "content-type": "application/json"} | (headers or {})
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }


class Caller:
    """One request by hand: sends a body, keeps what comes back, and leaves when told to.

    Args:
        until: told of each message that is sent to the client; True makes it leave.
    """

    def __init__(
        self,
        app: ASGIApp,
        path: str,
        body: object,
        *,
        until: Callable[[Message], bool] = lambda _message: False,
    ) -> None:
        self._app = app
        self._scope = scope_of(path, headers={"content-length": "2"})
        self._body = orjson.dumps(body)
        self._until = until
        self._has_sent = False
        self._left = asyncio.Event()
        self.messages: list[Message] = []

    def leave(self) -> None:
        self._left.set()

    async def call(self) -> None:
        await self._app(self._scope, self._receive, self._send)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    async def _receive(self) -> Message:
        if not self._has_sent:
            self._has_sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.messages.append(message)
        if self._until(message):
            self.leave()


def chat(content: str = "Where is the audit log?", **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def events_of(text: str) -> list[Any]:
    """The data of server-sent events; ``[DONE]`` as it stands."""
    data = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else orjson.loads(line) for line in data]


def error_code_of(raw: bytes) -> str:
    """The code of the error that OpenAI's client would find in a body or a stream."""
    if raw.startswith(b"{"):
        return str(orjson.loads(raw)["error"]["code"])
    *_, last, done = events_of(raw.decode())
    assert done == "[DONE]"
    return str(last["error"]["code"])
