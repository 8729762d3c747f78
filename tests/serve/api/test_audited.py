"""Every route that generates, and a caller within, is held to the audit's contract.

A new dialect needs its body and its text here. A route that generates in another way is found by
the last test: it asks every route of the server, and counts what the engine did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.types import Message

from serve.api.app import DIALECTS, routes_of
from serve.api.dialect import Dialect
from serve.api.http import acts, recorded_calls
from serve.errors import RequestError
from tests.contracts.audit import AuditContract, Given, StreamedAuditContract, Watched, watched
from tests.serve.api.house import MODEL, Caller, chat, error_code_of, events_of, house
from tests.serve.governance.audit.records.logs import ends_of
from tests.serve.service.callers import in_process

BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": chat(),
    "/v1/completions": {"model": MODEL, "prompt": "Where is the audit log?", "max_tokens": 200},
}
"""A request for one answer of each dialect, by its path; ``stream`` is added."""


def text_of(choice: Mapping[str, Any]) -> str:
    """The text of a choice, of an event or a whole answer."""
    part = choice.get("delta") or choice.get("message") or choice
    return str(part.get("content") or part.get("text") or "")


def texts_of(message: Message) -> list[str]:
    """The texts of a piece of an answer's body."""
    raw = message.get("body", b"").decode()
    documents = [orjson.loads(raw)] if raw.startswith("{") else events_of(raw)
    return [
        text
        for document in documents
        if isinstance(document, dict)
        for choice in document.get("choices", ())
        if (text := text_of(choice))
    ]


class HttpContract(AuditContract):
    """Calls of a dialect, by hand, so that it is seen what has left the server and when."""

    dialect: Dialect

    async def call(self, watch: Watched) -> None:
        watch.given, watch.at_release = Given(), []

        def came(message: Message) -> bool:
            if self.is_stream:
                for text in texts_of(message):
                    watch.came(text)
            return False

        body = BODIES[self.dialect.path] | {"stream": self.is_stream}
        caller = Caller(watch.home.app, self.dialect.path, body, until=came)
        inner = asyncio.create_task(caller.call())
        try:
            await asyncio.shield(inner)
        except asyncio.CancelledError:
            caller.leave()
            await inner
            raise
        status, raw = caller.messages[0]["status"], caller.body
        if status != 200 or b'"error":' in raw:
            watch.given.code = error_code_of(raw)
        elif self.is_stream:
            watch.given.is_whole = raw.endswith(b"data: [DONE]\n\n")
        else:
            watch.given.text = "".join(texts_of({"body": raw}))
            watch.given.is_whole = True


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
class TestWhole(HttpContract):
    @pytest.fixture(autouse=True)
    def _of(self, dialect: Dialect) -> None:
        self.dialect = dialect


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
class TestStream(HttpContract, StreamedAuditContract):
    @pytest.fixture(autouse=True)
    def _of(self, dialect: Dialect) -> None:
        self.dialect = dialect


class TestWithin(AuditContract):
    """A caller within the process, as batches and background answers will be."""

    async def call(self, watch: Watched) -> None:
        watch.given = Given()
        try:
            watch.given.text = await in_process(watch.home.service, BODIES["/v1/chat/completions"])
            watch.given.is_whole = True
        except RequestError as error:
            watch.given.code = error.code


def test_every_dialect_is_held_to_it() -> None:
    assert {dialect.path for dialect in DIALECTS} == BODIES.keys(), "give the new dialect a body"


RECORDS_ITSELF = {"/oauth/token": "the act token.issue (http/test_acts.py)"}
NOT_RECORDED = {
    "/v1/models": "it names what this key may ask for",
    "/v1/models/{model:path}": "it describes what this key may ask for",
    "/v1/usage": "sums of one's own calls, each of which is recorded",
    "/version": "the server's version",
    "/openapi.json": "a description of the routes",
    "/metrics": "figures for a machine that asks every few seconds",
}
"""Routes behind a key that are in no log, and why. They take no text and change nothing."""


def test_every_route_is_recorded_or_there_is_a_reason() -> None:
    """A new route is recorded as a call, or named above, or it fails here."""
    state, seen = house().state, set[str]()
    for route in routes_of(state):
        kinds = [
            route.path in BODIES,
            route.handler.__module__ == acts.__name__,
            route.handler.__module__ == recorded_calls.__name__,
            route.path in RECORDS_ITSELF,
            route.path in NOT_RECORDED,
            route.policy.is_public and route.method == "GET",  # probes and the pages' own files
        ]
        assert kinds.count(True) == 1, f"{route.method} {route.path}: record it, or say why not"
        seen.add(route.path)
    assert seen > RECORDS_ITSELF.keys() | NOT_RECORDED.keys()


def test_the_page_names_what_is_not_recorded() -> None:
    page = (Path(__file__).parents[3] / "docs/audit.md").read_text()
    told = page[page.index("\nNot recorded:") :].split("\n## ")[0]
    for path in NOT_RECORDED:
        assert f"`{path.partition('/{')[0]}`" in told, path


async def test_no_route_reaches_the_engine_unrecorded() -> None:
    """Each route is sent every body that another takes: whatever generates has to be in the log."""
    async with watched() as watch:
        pipeline, asked = watch.home.pipeline, []
        stream = pipeline.engine.stream
        pipeline.engine.stream = lambda request: asked.append(request.request_id) or stream(request)
        examples = [
            dict(route.openapi.get("example") or {}) for route in routes_of(watch.home.state)
        ]
        bodies = [body for body in (*BODIES.values(), *examples) if body]
        routes = [route for route in routes_of(watch.home.state) if route.method == "POST"]
        assert len(routes) >= 4
        async with watch.home.client() as client:
            for route in routes:
                for body in bodies:
                    await client.post(route.path, json=body | {"model": MODEL})
        begun = ends_of(watch.log)
        assert len(begun) >= len(DIALECTS)
        assert set(begun.values()) == {1}
        unrecorded = [name for name in asked if not name.startswith(tuple(begun))]
        assert asked
        assert not unrecorded
