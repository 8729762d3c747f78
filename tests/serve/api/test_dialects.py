"""A dialect that the product does not have, in one file: an echo protocol with lines for events.

One line registers it, ``dialects=(..., Echo())``; it passes the whole contract, so it gets keys,
limits on bodies, records, metrics, drain and disconnects without another edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

import orjson
import pytest

from serve.api.app import DIALECTS
from serve.api.dialect import Dialect, Identity, Parsed
from serve.api.policy import INFER
from serve.engine.protocol import SamplingParams
from serve.errors import InternalError, InvalidRequest, RequestError
from serve.pipeline.answer import Answer
from serve.pipeline.events import Event, Generation, TextDelta, TextPrompt
from serve.timeline import Usage
from tests.contracts.dialect import DialectContract
from tests.serve.api.house import house, is_free


class EchoEncoder:
    media_type = b"application/x-echo"

    def __init__(self, identity: Identity) -> None:
        self._answer = Answer()
        self._hello = b"hello " + identity.model.encode() + b"\n"

    def open(self) -> bytes:
        return self._hello

    def event(self, event: Event) -> bytes:
        if not isinstance(event, TextDelta):
            return b""
        return b"said " + orjson.dumps(event.text) + b"\n"

    def error(self, error: RequestError) -> bytes:
        return b"sorry " + Echo.problem(error) + b"\n"

    def close(self, usage: Usage) -> bytes:
        return b"bye %d\n" % usage.completion_tokens

    def add(self, event: Event) -> None:
        self._answer.add(event)

    def whole(self, usage: Usage) -> Iterator[bytes]:
        said = [choice.text for choice in self._answer.choices]
        yield orjson.dumps({"said": said, "tokens": usage.completion_tokens})


class Echo:
    path = "/echo"
    name = "echo"
    policy = INFER
    openapi: ClassVar[Mapping[str, Any]] = {"tags": ["echo"]}

    def parse(self, body: Mapping[str, Any]) -> Parsed:
        for field in body.keys() - {"say", "model", "live"}:
            raise InvalidRequest(f"{field[:60]} means nothing here.", param=field[:60])
        if not isinstance(say := body.get("say"), str):
            raise InvalidRequest("say must be a string.", param="say")
        if not isinstance(model := body.get("model"), str | None):
            raise InvalidRequest("model must be a string.", param="model")
        sampling = SamplingParams(max_tokens=64)
        return Parsed(
            model=model,
            is_stream=body.get("live") is True,
            generation=lambda: Generation(prompts=(TextPrompt(say),), sampling=sampling),
            encoder=EchoEncoder,
        )

    @staticmethod
    def problem(error: RequestError) -> bytes:
        return orjson.dumps({"oops": error.message, "why": error.code})


class TestEcho(DialectContract):
    dialect: Dialect = Echo()
    body: ClassVar = {"say": "The audit log"}

    def streamed(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**body, "live": True}

    def content_of(self, raw: bytes) -> str:
        hello, *said, bye = raw.splitlines()
        assert hello == b"hello demo"
        assert bye.startswith(b"bye ")
        return "".join(orjson.loads(line.removeprefix(b"said ")) for line in said)

    def error_of(self, raw: bytes) -> str:
        return str(orjson.loads(raw.splitlines()[-1].removeprefix(b"sorry "))["why"])


async def test_it_stands_beside_the_others_and_each_keeps_its_envelope() -> None:
    home = house(dialects=(*DIALECTS, Echo()))
    async with home.client() as client:
        post = partial(client.post, json={"x": 1})
        echo, chat = await post("/echo"), await post("/v1/chat/completions")
        nowhere = await post("/nowhere")
    assert echo.json().keys() == {"oops", "why"}
    assert chat.json().keys() == nowhere.json().keys() == {"error"}


class Fussy(EchoEncoder):
    """An encoder that has no words for the first text of an answer."""

    def event(self, event: Event) -> bytes:
        raise InternalError("No words.")


class Speechless(EchoEncoder):
    """An encoder that has no words for the end."""

    def close(self, usage: Usage) -> bytes:
        raise InternalError("No words.")


@pytest.mark.parametrize(("encoder", "status"), [(Fussy, 500), (Speechless, 200)])
async def test_an_encoder_that_refuses_is_told_by_status_or_in_band(
    monkeypatch: pytest.MonkeyPatch, encoder: type[EchoEncoder], status: int
) -> None:
    home = house(dialects=(Echo(),))
    monkeypatch.setattr("tests.serve.api.test_dialects.EchoEncoder", encoder)
    async with home.client() as client:
        response = await client.post("/echo", json={"say": "x", "live": True})
    assert response.status_code == status
    assert TestEcho().error_of(response.content) == "internal_error"
    assert home.records.last.error_code == "internal_error"
    assert is_free(home.pipeline)
