"""Headers and fields about a request's turn: read, and refused where they are not of their form."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serve.api.house import CHAT, chat, house


async def asked(headers: Any = None, **fields: Any) -> tuple[int, Any, str]:
    """Status and body of an answer, and the class that was recorded."""
    home = house()
    async with home.client() as client:
        response = await client.post(CHAT, json=chat(**fields), headers=headers)
    body = response.json() if response.status_code != 200 else None
    return response.status_code, body, home.records.last.request_class


@pytest.mark.parametrize(
    ("header", "tier", "request_class"),
    [
        (None, None, "interactive"),
        (None, "auto", "interactive"),
        (None, "default", "interactive"),
        (None, "priority", "interactive"),
        (None, "flex", "batch"),
        ("batch", None, "batch"),
        ("background", "priority", "background"),
        ("interactive", "flex", "interactive"),
    ],
)
async def test_the_class_is_the_header_s_or_the_tier_s(
    header: str | None, tier: str | None, request_class: str
) -> None:
    headers = {"x-request-class": header} if header else {}
    status, _, found = await asked(headers, service_tier=tier)
    assert (status, found) == (200, request_class)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-request-class", "urgent"),
        ("x-request-class", ""),
        ("x-request-class", "Batch"),
        ("x-queue-updates", "1"),
        ("x-request-timeout-ms", "0"),
        ("x-request-timeout-ms", "-5"),
        ("x-request-timeout-ms", "1.5"),
        ("x-request-timeout-ms", "1e3"),
        ("x-request-timeout-ms", "٣"),
        ("x-request-timeout-ms", "007"),
        ("x-request-timeout-ms", "86400001"),
        ("x-request-timeout-ms", "9" * 5000),
    ],
)
async def test_what_is_not_of_its_form_is_refused_by_name(name: str, value: str) -> None:
    status, body, _ = await asked({name: value.encode()}, stream=True)
    assert status == 400
    error = body["error"]
    assert error["param"] == name
    assert name in error["message"]
    assert len(error["message"]) < 300


async def test_a_header_comes_once() -> None:
    twice = [("x-request-class", "batch"), ("x-request-class", "batch")]
    status, body, _ = await asked(twice)
    assert status == 400
    assert "2 times" in body["error"]["message"]


async def test_updates_are_for_streams() -> None:
    status, body, _ = await asked({"x-queue-updates": "true"})
    assert status == 400
    assert "stream" in body["error"]["message"]
    assert (await asked({"x-queue-updates": "false"}))[0] == 200


async def test_a_tier_that_there_is_not_is_refused() -> None:
    status, body, _ = await asked(service_tier="gold")
    assert status == 400
    assert body["error"]["param"] == "service_tier"


async def test_the_client_s_read_timeout_is_no_deadline() -> None:
    assert (await asked({"x-stainless-read-timeout": "0.000001"}))[0] == 200


@pytest.mark.parametrize(
    ("count", "is_retry"), [("0", False), ("1", True), ("2", True), ("x", False)]
)
async def test_a_client_that_was_refused_says_so(count: str, *, is_retry: bool) -> None:
    home = house()
    calls = []
    generate = home.service.generate
    home.service.generate = lambda call, *rest: calls.append(call) or generate(call, *rest)  # type: ignore
    async with home.client() as client:
        await client.post(CHAT, json=chat(), headers={"x-stainless-retry-count": count})
    assert [call.is_retry for call in calls] == [is_retry]
