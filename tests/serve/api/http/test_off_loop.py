"""Large bodies are read on a thread, small ones at once."""

from __future__ import annotations

import threading

import orjson
import pytest

from serve.api.http import endpoint, strict_json
from serve.api.http.off_loop import INLINE_BYTES, off_loop
from serve.api.operations import tokenize
from serve.errors import InvalidJson
from tests.serve.api.house import CHAT, chat, house, pipeline_of


def _where() -> bool:
    """Whether this is the thread of the event loop."""
    return threading.current_thread() is threading.main_thread()


async def test_work_on_few_bytes_is_done_at_once_and_on_many_elsewhere() -> None:
    assert await off_loop(INLINE_BYTES, _where)
    assert not await off_loop(INLINE_BYTES + 1, _where)


@pytest.mark.parametrize("size", [1, INLINE_BYTES + 1])
async def test_errors_come_through(size: int) -> None:
    with pytest.raises(InvalidJson):
        await off_loop(size, lambda: strict_json.parse_object(b"{"))


async def test_a_large_body_of_any_route_is_read_off_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_loop: list[bool] = []

    def spy(body: bytes) -> strict_json.JsonObject:
        on_loop.append(_where())
        return strict_json.parse_object(body)

    for module in (endpoint, tokenize):
        monkeypatch.setattr(module, "parse_object", spy)
    text = "x" * INLINE_BYTES
    headers = {"content-type": "application/json"}
    async with house(pipeline_of(max_model_len=100_000)).client(headers=headers) as client:
        for path, body in (
            (CHAT, chat(text, max_tokens=1)),
            ("/v1/completions", {"model": "demo", "prompt": text, "max_tokens": 1}),
            ("/tokenize", {"prompt": text}),
        ):
            response = await client.post(path, content=orjson.dumps(body))
            assert response.status_code == 200, response.text
        await client.post(CHAT, content=orjson.dumps(chat()))
    assert on_loop == [False, False, False, True]
