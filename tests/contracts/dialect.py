"""The Dialect contract as tests: every line of serve/api/dialect.py.

Subclass ``DialectContract`` per dialect and give it:

- ``dialect``: an instance, which takes the model's name in a field ``model`` and refuses an unknown
  field by its name;
- ``body``: a request for one answer with nothing special about it;
- ``streamed(body)``: the same request, for a stream;
- ``content_of(raw)``: the text that a client reads out of the bytes of a whole stream;
- ``error_of(raw)``: the error's code that a client reads out of a stream or a refusal.

The first tests are sans-IO. The last ones put the dialect into a server, and hold that it gets what
every route gets, without a line of its own: keys, bounds, records, metrics, drain, disconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from serve.api.dialect import Dialect, Encoder, Identity
from serve.errors import EngineDeadError, InvalidRequest, RequestError
from serve.governance.identity import keys
from serve.pipeline.events import Event, Finished, TextDelta
from serve.timeline import Usage
from tests.serve.api.house import ANSWER, Caller, House, house, is_free, pipeline_of, until

IDENTITY = Identity(
    request_id="req-" + "0" * 32, model="demo", created=1_700_000_000, fingerprint="fp_0"
)
TEXTS = ("The audit log", " is in 你好", " 🙂.")
USAGE = Usage(prompt_tokens=7, completion_tokens=3)
EVENTS: tuple[Event, ...] = (
    *(TextDelta(index=0, text=text) for text in TEXTS),
    Finished(index=0, reason="stop", usage=USAGE),
)
DEAD = EngineDeadError("The engine stopped.")


class DialectContract:
    """Every dialect passes all of it."""

    dialect: Dialect
    body: Mapping[str, Any]

    def streamed(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**body, "stream": True}

    def content_of(self, raw: bytes) -> str:
        raise NotImplementedError

    def error_of(self, raw: bytes) -> str:
        raise NotImplementedError

    def encoder(self) -> Encoder:
        return self.dialect.parse(self.streamed(self.body)).encoder(IDENTITY)

    def home(self, **settings: Any) -> House:
        return house(dialects=(self.dialect,), **settings)

    # What a request comes to

    def test_a_request_is_a_generation(self) -> None:
        whole, stream = (self.dialect.parse(b) for b in (self.body, self.streamed(self.body)))
        assert (whole.is_stream, stream.is_stream) == (False, True)
        generation = whole.generation()
        assert generation == stream.generation()
        assert generation.prompts
        assert generation.sampling.max_tokens >= 1

    def test_parsing_keeps_nothing_of_the_request_before(self) -> None:
        first = self.dialect.parse(self.body).generation()
        self.dialect.parse(self.streamed(self.body))
        assert self.dialect.parse(self.body).generation() == first

    def test_an_unknown_field_is_never_ignored_in_silence(self) -> None:
        with pytest.raises(InvalidRequest) as refused:
            self.dialect.parse({**self.body, "no_such_field": 1})
        assert refused.value.param == "no_such_field"

    @pytest.mark.parametrize("value", [7, -1, 1.5, True, "", "x", [], ["x"], {}, {"x": 1}, None])
    async def test_a_value_of_any_type_in_any_field_is_answered_or_refused(
        self, value: object
    ) -> None:
        home = self.home()
        async with home.client() as client:
            for field in ("model", *self.body):
                response = await client.post(self.dialect.path, json={**self.body, field: value})
                assert response.status_code in {200, 400, 404}, (field, response.text)
        assert is_free(home.pipeline)

    def test_it_wants_a_scope_and_is_not_public(self) -> None:
        assert not self.dialect.policy.is_public
        assert self.dialect.policy.scope == "infer"

    # What an answer comes to

    def test_a_stream_says_what_the_events_say(self) -> None:
        encoder = self.encoder()
        raw = encoder.open() + b"".join(map(encoder.event, EVENTS)) + encoder.close(USAGE)
        assert self.content_of(raw) == "".join(TEXTS)

    def test_the_cut_of_the_text_does_not_matter(self) -> None:
        encoder = self.encoder()
        letters = [TextDelta(index=0, text=letter) for letter in "".join(TEXTS)]
        raw = encoder.open() + b"".join(map(encoder.event, [*letters, EVENTS[-1]]))
        assert self.content_of(raw + encoder.close(USAGE)) == "".join(TEXTS)

    def test_encoders_share_nothing(self) -> None:
        one, other = self.encoder(), self.encoder()
        for event in EVENTS:
            assert one.event(event) == other.event(event)

    def test_a_whole_answer_is_json_and_has_the_text(self) -> None:
        encoder = self.dialect.parse(self.body).encoder(IDENTITY)
        for event in EVENTS:
            encoder.add(event)
        raw = b"".join(encoder.whole(USAGE))
        assert "".join(TEXTS) in _strings_of(orjson.loads(raw))

    def test_an_error_in_a_stream_is_told_in_it(self) -> None:
        encoder = self.encoder()
        raw = encoder.open() + encoder.event(EVENTS[0]) + encoder.error(DEAD)
        assert self.error_of(raw) == "engine_dead"

    @pytest.mark.parametrize("error", [DEAD, InvalidRequest("No.", param="a.0.b")])
    def test_a_refusal_is_json_in_its_own_envelope(self, error: RequestError) -> None:
        raw = self.dialect.problem(error)
        assert isinstance(orjson.loads(raw), dict)
        assert self.error_of(raw) == error.code
        assert error.message in _strings_of(orjson.loads(raw))

    # What it gets from the server without a line of its own

    async def test_it_answers_and_is_recorded_once(self) -> None:
        home = self.home()
        async with home.client() as client:
            whole = await client.post(self.dialect.path, json=self.body)
            stream = await client.post(self.dialect.path, json=self.streamed(self.body))
        assert whole.status_code == stream.status_code == 200
        assert ANSWER in _strings_of(whole.json())
        assert self.content_of(stream.content) == ANSWER
        assert [record.is_stream for record in home.records.all] == [False, True]
        for record in home.records.all:
            assert (record.route, record.status) == (self.dialect.path, 200)
            assert (record.model, record.key_id) == ("demo", "anonymous")
            assert record.timeline.usage.completion_tokens > 0

    async def test_it_is_counted_in_the_metrics(self) -> None:
        home = self.home()
        async with home.client() as client:
            await client.post(self.dialect.path, json=self.body)
            text = (await client.get("/metrics")).text
        assert f'route="{self.dialect.path}",status="200"' in text

    async def test_it_wants_the_key_and_says_so_in_its_envelope(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        key = keys.create(path, name="contract")
        async with self.home(keys=path).client() as client:
            refused = await client.post(self.dialect.path, json=self.body)
            allowed = await client.post(
                self.dialect.path, json=self.body, headers={"authorization": f"Bearer {key}"}
            )
        assert (refused.status_code, allowed.status_code) == (401, 200)
        assert self.error_of(refused.content) == "invalid_api_key"

    async def test_its_body_is_bounded(self) -> None:
        home = self.home(max_body_bytes=4096)
        async with home.client() as client:
            large = await client.post(self.dialect.path, json={**self.body, "x": "y" * 5000})
            text = await client.post(self.dialect.path, content=b"{}")
        assert (large.status_code, self.error_of(large.content)) == (413, "body_too_large")
        assert (text.status_code, self.error_of(text.content)) == (415, "unsupported_media_type")

    async def test_an_unknown_model_and_a_stream_are_in_the_record_of_a_refusal(self) -> None:
        home = self.home()
        async with home.client() as client:
            await client.post(self.dialect.path, json={**self.streamed(self.body), "model": "no"})
        record = home.records.last
        assert (record.is_stream, record.status, record.error_code) == (
            True,
            404,
            "model_not_found",
        )

    async def test_it_is_refused_while_the_server_drains(self) -> None:
        home = self.home()
        home.service.is_draining = True
        async with home.client() as client:
            refused = await client.post(self.dialect.path, json=self.body)
        assert (refused.status_code, self.error_of(refused.content)) == (503, "draining")
        assert home.records.last.error_code == "draining"
        assert int(refused.headers["retry-after"]) >= 1

    async def test_an_unknown_model_is_not_found(self) -> None:
        async with self.home().client() as client:
            refused = await client.post(self.dialect.path, json={**self.body, "model": "other"})
        assert (refused.status_code, self.error_of(refused.content)) == (404, "model_not_found")

    async def test_a_client_that_leaves_frees_everything(self) -> None:
        pipeline = pipeline_of(tokens_per_s=50)
        home = self.home(pipeline=pipeline)
        caller = Caller(
            home.app,
            self.dialect.path,
            self.streamed(self.body),
            until=lambda message: bool(message.get("body")),
        )
        async with asyncio.timeout(20):
            await caller.call()
        await until(lambda: is_free(pipeline))
        assert home.records.last.is_disconnected
        assert home.records.last.status == 200

    async def test_an_engine_that_dies_in_mid_stream_is_told_in_it(self) -> None:
        pipeline = pipeline_of(die_after=5)
        home = self.home(pipeline=pipeline)
        async with home.client() as client:
            response = await client.post(self.dialect.path, json=self.streamed(self.body))
        assert response.status_code == 200
        assert self.error_of(response.content) == "engine_dead"
        assert home.records.last.error_code == "engine_dead"
        assert is_free(pipeline)


def _strings_of(value: Any) -> list[str]:
    """Every string of a JSON value."""
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _strings_of(item)]
