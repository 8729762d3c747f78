"""Answers of probes, versions and tokens hold exactly the shapes that /openapi.json describes."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from serve.api.operations.shapes import Condition, StartReply, Text, Tokens, Version
from tests.serve.api.house import house


@pytest.mark.parametrize(
    ("shape", "method", "path", "body"),
    [
        (Condition, "GET", "/livez", None),
        (Condition, "GET", "/readyz", None),
        (StartReply, "GET", "/startupz", None),
        (Version, "GET", "/version", None),
        (Tokens, "POST", "/tokenize", {"model": "demo", "prompt": "x", "return_token_strs": True}),
        (Text, "POST", "/detokenize", {"model": "demo", "tokens": [5, 6]}),
    ],
)
async def test_a_real_answer_has_the_shape(
    shape: type[BaseModel], method: str, path: str, body: object
) -> None:
    async with house().client() as client:
        response = await client.request(method, path, json=body)
    assert response.status_code == 200, response.text
    shape.model_validate(response.json())
    with pytest.raises(ValidationError):
        shape.model_validate({**response.json(), "more": 1})
