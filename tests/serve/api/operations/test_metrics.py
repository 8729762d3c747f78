"""Figures, and that they may be off."""

from __future__ import annotations

from dataclasses import replace

from serve.api.app import create_app
from tests.serve.api.house import House, Records, house


async def test_metrics_are_in_their_format() -> None:
    async with house().client() as client:
        response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE" in response.text


async def test_metrics_may_be_off() -> None:
    state = replace(house().state, metrics=None)
    home = House(state, Records(), create_app(state))
    async with home.client() as client:
        assert (await client.get("/metrics")).status_code == 404
