"""Calls that run nothing in the engine: in the log before they are answered, and their text not."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from serve.api.app import create_app, routes_of
from serve.api.http.recorded_calls import is_recorded_call, recorded_call
from serve.governance.audit.records.recorded_audit import RecordedAudit
from serve.governance.feedback.feedback import Feedback, StoredFeedback
from serve.governance.principal import Principal
from serve.service.recording import Recorder
from tests.serve.api.house import (
    FILTER_FILE,
    MODEL,
    TOKENIZER,
    House,
    Records,
    house,
    scope_of,
    until,
)
from tests.serve.governance.audit.records.logs import MemoryLog, audit_of

WORD = "xyzzy"
SECRET = f"Say {WORD} to nobody."
ANSWER_ID, REQUEST_ID = f"chatcmpl-{'a' * 32}", f"req-{'a' * 32}"
SILENT_TURNS = 100


@dataclass(frozen=True)
class Asked:
    """A call, and what its record has to tell of it."""

    route: str
    body: dict[str, Any] | None
    details: dict[str, Any]
    method: str = "POST"
    path: str = ""
    has_model: bool = False
    verdicts: list[str] | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.route}"


TOKENS = TOKENIZER.encode(SECRET, add_special_tokens=False)
CALLS = (
    Asked(
        "/v1/moderations",
        {"input": [SECRET, "Hello."]},
        {"rules": "1", "texts": 2, "chars": len(SECRET) + 6, "flagged": 1},
        verdicts=["filter:word@1"],
    ),
    Asked(
        "/tokenize",
        {"model": MODEL, "prompt": SECRET},
        {"chars": len(SECRET), "tokens": len(TOKENS)},
        has_model=True,
    ),
    Asked(
        "/detokenize",
        {"model": MODEL, "tokens": TOKENS},
        {"tokens": len(TOKENS), "chars": len(SECRET)},
        has_model=True,
    ),
    Asked(
        "/v1/feedback",
        {"id": ANSWER_ID, "score": -0.5, "labels": [WORD], "text": SECRET},
        {"answer": REQUEST_ID, "score_milli": -500, "labels": 1, "chars": len(SECRET)},
    ),
    Asked(
        "/v1/feedback/{answer_id}",
        None,
        {"answer": REQUEST_ID},
        method="DELETE",
        path=f"/v1/feedback/{ANSWER_ID}",
    ),
)
every_call = pytest.mark.parametrize("asked", CALLS, ids=lambda asked: asked.name)


@dataclass
class Book:
    """A book of feedback that counts what is done in it."""

    num_done: int = 0

    async def give(
        self, _principal: Principal, _answer_id: str, given: Feedback
    ) -> tuple[StoredFeedback, bool]:
        self.num_done += 1
        stored = dict.fromkeys(StoredFeedback.__dataclass_fields__, 0)
        told = {"score_milli": given.score_milli, "labels": given.labels, "text": given.text}
        return StoredFeedback(**stored | told), True  # type: ignore[arg-type]

    async def take_back(self, _principal: Principal, _answer_id: str) -> None:
        self.num_done += 1


@functools.cache
def the_house() -> House:
    """The server of all tests: an application takes long to build."""
    plain = house(content_filter_file=FILTER_FILE)
    state = replace(plain.state, feedback=Book())  # type: ignore[arg-type]
    return House(state, Records(), create_app(state))


@dataclass
class Audited:
    home: House
    log: MemoryLog
    audit: RecordedAudit
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def code(self) -> str:
        body = b"".join(message.get("body", b"") for message in self.messages)
        return str(orjson.loads(body)["error"]["code"])

    @property
    def num_done(self) -> int:
        """Changes to the book of feedback."""
        return self.home.state.feedback.num_done  # type: ignore[union-attr]

    async def ask(self, asked: Asked) -> None:
        self.messages.clear()
        body = b"" if asked.body is None else orjson.dumps(asked.body)
        headers = {"content-length": str(len(body))}
        scope = scope_of(asked.path or asked.route, method=asked.method, headers=headers)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            self.messages.append(message)

        await self.home.app(scope, receive, send)


async def audited(**options: Any) -> Audited:
    log, home = MemoryLog(), the_house()
    audit = await audit_of(log, **options)
    home.service.recorder = Recorder(audit)
    home.state.feedback.num_done = 0  # type: ignore[union-attr]
    return Audited(home, log, audit)


def test_each_recorded_route_is_tried_here() -> None:
    routes = [route for route in routes_of(the_house().state) if is_recorded_call(route)]
    here = [route for route in routes if route.handler.__module__ == recorded_call.__module__]
    assert {f"{route.method} {route.path}" for route in here} == {asked.name for asked in CALLS}


@every_call
async def test_it_is_recorded_before_its_answer_and_its_text_is_not(asked: Asked) -> None:
    server = await audited(digest_of=lambda name: f"digest of {name}")
    server.log.stalls = asyncio.Event()
    task = asyncio.create_task(server.ask(asked))
    await until(lambda: server.log.num_appends == 1)
    for _ in range(SILENT_TURNS):
        await asyncio.sleep(0)
    assert server.messages == []
    server.log.stalls.set()
    await task
    assert server.status == 200
    (record,) = server.log.records
    assert (record["type"], record["status"]) == ("call", 200)
    assert record["who"]["key"] == "anonymous"
    assert record["call"] == {"method": asked.method, "route": asked.route}
    assert record["details"] == asked.details
    assert record.get("verdicts") == asked.verdicts
    model = {"name": MODEL, "digest": f"digest of {MODEL}"} if asked.has_model else None
    assert record.get("model") == model
    assert WORD.encode() not in server.log.entries[0]


@every_call
async def test_what_cannot_be_recorded_is_not_answered(asked: Asked) -> None:
    server = await audited()
    server.log.fails = True
    for _ in range(2):  # the second is refused before anything is done
        await server.ask(asked)
        assert (server.status, server.code) == (503, "audit_unavailable")
    assert server.num_done <= 1
    assert server.log.entries == []


@every_call
async def test_where_that_passes_it_is_counted(asked: Asked) -> None:
    server = await audited(passes=True)
    server.log.fails = True
    for _ in range(2):
        await server.ask(asked)
        assert server.status == 200
    server.log.fails = False
    assert await server.audit.keeper.come_back()
    (gap,) = server.log.of_type("gap")
    assert gap["calls"] == 2


@every_call
async def test_the_level_none_records_none(asked: Asked) -> None:
    server = await audited(records_calls=False)
    server.log.fails = True
    await server.ask(asked)
    assert (server.status, server.log.num_appends) == (200, 0)


async def test_what_fails_is_a_refusal_and_no_call() -> None:
    server = await audited()
    await server.ask(replace(CALLS[1], body={"model": MODEL}))
    assert (server.status, server.log.num_appends) == (400, 0)
