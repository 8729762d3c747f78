"""No prompt that fits into the context is too large for the door."""

from __future__ import annotations

import json

import pytest

from serve.api.http.body_bound import BASE_BYTES, BYTES_PER_TOKEN, LOADING_TOKENS, body_bound
from tests.serve.api.house import CHAT, chat, house, pipeline_of

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("context", [128, 32_768, 131_072])
def test_the_bound_follows_the_context(context: int) -> None:
    home = house(pipeline_of(max_model_len=context))
    bound = body_bound(home.state.config, home.service.directory)()
    assert bound == BASE_BYTES + BYTES_PER_TOKEN * context
    assert bound > 6 * 2 * context, "two escaped characters a token"


def test_the_bound_that_is_set_is_the_bound() -> None:
    home = house(max_body_bytes=5000)
    assert body_bound(home.state.config, home.service.directory)() == 5000


async def test_while_the_model_loads_nobody_is_told_of_a_size() -> None:
    home = house(is_loaded=False)
    assert body_bound(home.state.config, home.service.directory)() > LOADING_TOKENS
    async with home.client() as client:
        assert (await client.post(CHAT, json=chat("x" * 2_000_000))).status_code == 503


async def test_escaped_text_of_a_long_context_is_let_in() -> None:
    """175,000 Chinese characters, as Python's clients write them: more than a megabyte."""
    body = json.dumps(chat("\u4f60" * 200_000)).encode()
    assert len(body) > 1_200_000
    for context, status in ((4096, "context_length_exceeded"), (1024, "body_too_large")):
        async with house(pipeline_of(max_model_len=context)).client() as client:
            response = await client.post(CHAT, content=body, headers=JSON)
        assert response.json()["error"]["code"] == status
