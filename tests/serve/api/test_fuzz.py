"""Thousands of malformed requests: never a 500, and a 503 only with the time to come back.

Three sources: wrong types in every field, damaged bytes, and schemathesis on our own description of
the API. All are seeded; the same requests run every time.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import Connection, StaticPool, create_engine

from serve.api.app import create_app
from serve.api.openai.chat import ChatRequest
from serve.api.openai.completions import CompletionRequest
from serve.api.openai.moderations import ModerationRequest
from serve.api.operations.feedback_request import FeedbackRequest
from serve.api.operations.tokenize_request import DetokenizeRequest, TokenizeRequest
from serve.governance.feedback.book import FeedbackBook
from serve.governance.feedback.feedback import Feedback, StoredFeedback
from serve.governance.principal import Principal
from serve.governance.usage.reports import UsageReports
from serve.storage.schema import metadata
from tests.serve.api.house import FILTER_FILE, MODEL, House, chat, house, is_free, pipeline_of


class EmptyLedger:
    """A database with all tables and no row, in memory."""

    def __init__(self) -> None:
        self._engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        metadata.create_all(self._engine)

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        with self._engine.connect() as connection:
            return work(connection)

    report = read


class AnyAnswer(FeedbackBook):
    """A book for which every answer is everybody's."""

    async def give(
        self, principal: Principal, answer_id: str, given: Feedback
    ) -> tuple[StoredFeedback, bool]:
        stored = StoredFeedback(
            **dict.fromkeys(("request_id", "tenant", "owner", "key_id", "model", "arm"), ""),
            score_milli=given.score_milli,
            labels=given.labels,
            has_text=given.text is not None,
            text=given.text,
            created_at_ms=0,
            changed_at_ms=0,
        )
        return stored, True

    async def take_back(self, principal: Principal, answer_id: str) -> None:
        """Take nothing back."""


def house_with_a_ledger() -> House:
    plain = house(pipeline_of(max_model_len=128), content_filter_file=FILTER_FILE)
    ledger = EmptyLedger()
    reports = UsageReports(ledger, ZoneInfo("UTC"))  # type: ignore[arg-type]
    feedback = AnyAnswer(ledger, None)  # type: ignore[arg-type]
    state = replace(plain.state, usage=reports, feedback=feedback)
    return House(state, plain.records, create_app(state))


HOUSE = house_with_a_ledger()
BODIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "/v1/chat/completions": (ChatRequest, chat("hi")),
    "/v1/completions": (CompletionRequest, {"model": MODEL, "prompt": "hi"}),
    "/v1/moderations": (ModerationRequest, {"input": "hi"}),
    "/tokenize": (TokenizeRequest, {"prompt": "hi"}),
    "/detokenize": (DetokenizeRequest, {"tokens": [1, 2]}),
    "/v1/feedback": (FeedbackRequest, {"id": "req-" + "a" * 32, "score": 1}),
}
JUNK: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**63 - 1,
    -(2**63) + 1,
    1e308,
    "",
    "x",
    "\x00",
    "🙂" * 50,
    [],
    [[]],
    [None],
    [[[["x"]]]],
    [{}],
    {},
    {"a": {"b": []}},
    {"": None},
    {"type": "text"},
    {"type": "json_object"},
    {"type": "function", "function": {"name": "x"}},
    {"json": {}, "regex": "x"},
    ["x", 1, None, {}],
]


def check(response: httpx.Response) -> None:
    assert response.status_code < 500 or response.status_code == 503, response.text
    if response.status_code == 503:
        assert int(response.headers["retry-after"]) >= 1
    if response.status_code >= 400:
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        assert len(response.content) < 1000
    assert is_free(HOUSE.pipeline)


@pytest.mark.parametrize("path", BODIES)
async def test_every_field_with_every_kind_of_value(path: str) -> None:
    kind, good = BODIES[path]
    async with HOUSE.client() as client:
        for name in kind.model_fields:
            for value in JUNK:
                check(await client.post(path, json={**good, name: value}))


async def test_every_field_of_a_message_with_every_kind_of_value() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "x", "name": "x"},
        {"role": "user", "content": [{"type": "text", "text": "x"}], "name": "x"},
        {"role": "assistant", "content": "x", "tool_calls": calls, "refusal": None},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
    ]
    async with HOUSE.client() as client:
        for message in messages:
            for name in message:
                for value in JUNK:
                    body = chat(messages=[{**message, name: value}])
                    check(await client.post("/v1/chat/completions", json=body))
        for value in JUNK:
            for where in ("id", "type", "function"):
                broken = {**messages[2], "tool_calls": [{**calls[0], where: value}]}
                check(await client.post("/v1/chat/completions", json=chat(messages=[broken])))
            function = {"name": "f", "arguments": value}
            broken = {**messages[2], "tool_calls": [{**calls[0], "function": function}]}
            check(await client.post("/v1/chat/completions", json=chat(messages=[broken])))


def damaged(source: random.Random, body: bytes) -> bytes:
    """Bytes flipped, cut, doubled or exchanged for others that JSON cares for."""
    data = bytearray(body)
    for _ in range(source.randrange(1, 5)):
        at = source.randrange(len(data))
        match source.randrange(5):
            case 0:
                data[at] = source.randrange(256)
            case 1:
                del data[at : at + source.randrange(1, 9)]
            case 2:
                data[at:at] = source.choice(
                    [b"{", b"[", b'"', b"\\", b",", b"NaN", b"1e999", b"\\ud800", b"\xff", b"\x00"]
                )
            case 3:
                data[at:at] = data[: source.randrange(1, 40)]
            case _:
                data[at:at] = str(source.choice([-1, 0, 2**64, 10**400])).encode()
        if not data:
            return b"{"
    return bytes(data)


@pytest.mark.parametrize("path", BODIES)
async def test_damaged_bodies(path: str) -> None:
    source = random.Random(f"door:{path}")
    body = orjson.dumps(BODIES[path][1])
    seen = set()
    async with HOUSE.client(headers={"content-type": "application/json"}) as client:
        for _ in range(400):
            response = await client.post(path, content=damaged(source, body))
            check(response)
            seen.add(response.status_code)
    assert 400 in seen


SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", HOUSE.app, headers={"Host": "localhost"})
OPERATIONS = [operation.ok() for operation in SCHEMA.get_all_operations()]
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


CASES = [
    pytest.param(operation, mode, id=f"{operation.label} {mode.value}")
    for operation in OPERATIONS
    for mode in GenerationMode
    if operation.method == "post" or mode is GenerationMode.POSITIVE
]


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_the_description_is_kept(operation: Any, mode: GenerationMode) -> None:
    seen: Counter[int] = Counter()

    @settings(
        max_examples=150,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = MODEL  # or all would end at the model's name
        response = case.call(headers={"Host": "localhost"})
        case.validate_response(response, checks=CHECKS)
        seen[response.status_code] += 1

    run()
    if mode is GenerationMode.POSITIVE and "{model}" not in operation.label:
        # Of a route without a body and without a key there is one request.
        least = 1 if operation.definition.raw.get("security") == [] else 10
        assert seen[200] >= least, "the description lets clients through to an answer"
    assert is_free(HOUSE.pipeline)
