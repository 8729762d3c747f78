"""Answers hold exactly the shapes that /openapi.json describes."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from serve.api.openai.schemas import (
    ChatCompletion,
    Completion,
    JsonReply,
    ModelList,
    ProblemReply,
    described,
)
from tests.serve.api.house import chat, house


@pytest.mark.parametrize(
    ("shape", "method", "path", "body"),
    [
        (ChatCompletion, "POST", "/v1/chat/completions", chat(logprobs=True, top_logprobs=1)),
        (Completion, "POST", "/v1/completions", {"model": "demo", "prompt": "x", "logprobs": 1}),
        (ModelList, "GET", "/v1/models", None),
        (ProblemReply, "GET", "/nowhere", None),
    ],
)
async def test_a_real_answer_has_the_shape(
    shape: type[BaseModel], method: str, path: str, body: object
) -> None:
    async with house().client() as client:
        answer = (await client.request(method, path, json=body)).json()
    shape.model_validate(answer)
    with pytest.raises(ValidationError):
        shape.model_validate({**answer, "more": 1})


def test_every_route_describes_its_refusals() -> None:
    responses = described(ModelList)
    assert responses.keys() == {200, "4XX", "5XX"}
    assert "content" not in responses[200]
    assert "text/event-stream" in described(ModelList, stream=True)[200]["content"]


def test_json_replies_are_utf8_with_their_headers() -> None:
    reply = JsonReply({"a": "é"}, status_code=503, headers={"retry-after": "1"})
    assert reply.body == '{"a":"é"}'.encode()
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert reply.headers["content-type"] == "application/json"
