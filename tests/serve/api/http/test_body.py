"""Bodies: parsed as JSON, large ones one in a turn of the loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serve.api.http import body
from serve.api.http.body import LARGE_BYTES, Bodies
from serve.errors import InvalidJson
from tests.serve.api.ticker import Ticker


@pytest.mark.parametrize(
    ("size", "most"), [(LARGE_BYTES - 1, 8), (LARGE_BYTES, 8), (LARGE_BYTES + 1, 1)]
)
async def test_large_bodies_are_parsed_one_in_a_turn(
    monkeypatch: pytest.MonkeyPatch, size: int, most: int
) -> None:
    ticker, real = Ticker(), body.parse_object

    def parse_object(raw: bytes) -> dict[str, Any]:
        ticker.count()
        return real(raw)

    monkeypatch.setattr(body, "parse_object", parse_object)
    raw = b'{"a":"' + b"x" * (size - 8) + b'"}'
    bodies = Bodies()
    async with ticker:
        await asyncio.sleep(0)
        parsed = await asyncio.gather(*[bodies.parsed(raw) for _ in range(8)])
    assert [len(one["a"]) for one in parsed] == [size - 8] * 8
    assert (ticker.total, ticker.most) == (8, most)


async def test_one_that_is_refused_holds_up_no_other() -> None:
    bodies = Bodies()
    large = b'{"a":"' + b"x" * LARGE_BYTES + b'"'
    ended = await asyncio.gather(
        bodies.parsed(large), bodies.parsed(large + b"}"), return_exceptions=True
    )
    assert isinstance(ended[0], InvalidJson)
    assert isinstance(ended[1], dict)
