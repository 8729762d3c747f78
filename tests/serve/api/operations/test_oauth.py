"""POST /oauth/token: RFC 6749's grant of client credentials, and what is refused in its shape."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from serve.api.operations.oauth import MAX_FAILURES, FailureBound
from serve.errors import TooManyFailures
from serve.governance.identity import keys
from tests.serve.api.house import House, bearer, house

URL = "/oauth/token"
GRANT = {"grant_type": "client_credentials"}


def parts(key: str) -> dict[str, str]:
    client_id, _, secret = key.removeprefix("sk-").partition(".")
    return {"client_id": client_id, "client_secret": secret}


def basic(key: str) -> dict[str, str]:
    client_id, _, secret = key.removeprefix("sk-").partition(".")
    text = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"authorization": f"Basic {text}"}


async def test_a_key_gets_a_token_that_opens(locked: tuple[House, str]) -> None:
    home, key = locked
    async with home.client() as client:
        for answer in (
            await client.post(URL, data=GRANT | parts(key)),
            await client.post(URL, data=GRANT, headers=basic(key)),
            await client.post(URL, data=GRANT | {"client_id": key[3:15]}, headers=basic(key)),
        ):
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["pragma"] == "no-cache"
            told = answer.json()
            assert told["token_type"] == "Bearer"
            assert 0 < told["expires_in"] <= 600
            assert told["scope"] == "batch infer metrics"
            assert home.records.last.key_id == key[3:15]
            listed = await client.get("/v1/models", headers=bearer(told["access_token"]))
            assert listed.status_code == 200
            assert home.records.last.key_id == key[3:15]


async def test_scopes_are_narrowed_and_never_widened(locked: tuple[House, str]) -> None:
    home, key = locked
    async with home.client() as client:
        narrow = await client.post(URL, data=GRANT | parts(key) | {"scope": "metrics"})
        assert narrow.json()["scope"] == "metrics"
        token = bearer(narrow.json()["access_token"])
        assert (await client.get("/metrics", headers=token)).status_code == 200
        assert (await client.get("/v1/models", headers=token)).status_code == 403
        wide = await client.post(URL, data=GRANT | parts(key) | {"scope": "infer admin"})
    assert (wide.status_code, wide.json()["error"]) == (400, "invalid_scope")


async def test_revoking_the_key_ends_its_token(key_file: Path) -> None:
    key = keys.create(key_file)
    home = house(keys=key_file)
    async with home.client() as client:
        token = (await client.post(URL, data=GRANT | parts(key))).json()["access_token"]
        assert (await client.get("/version", headers=bearer(token))).status_code == 200
        keys.revoke(key_file, key[3:15])
        home.service._authenticators[0]._keys.reload()  # type: ignore[attr-defined]
        assert (await client.get("/version", headers=bearer(token))).status_code == 401
        again = await client.post(URL, data=GRANT | parts(key))
        assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


FORM = "application/x-www-form-urlencoded"
REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no grant": ({"data": {}}, 400, "unsupported_grant_type"),
    "another grant": ({"data": {"grant_type": "password"}}, 400, "unsupported_grant_type"),
    "a wrong secret": ({"data": GRANT | {"client_secret": "x" * 43}}, 401, "invalid_client"),
    "no client": ({"data": GRANT, "no_client": True}, 400, "invalid_request"),
    "both places": ({"data": GRANT, "basic": True}, 400, "invalid_request"),
    "another scheme": (
        {"data": GRANT, "no_client": True, "headers": {"authorization": "Bearer x"}},
        401,
        "invalid_client",
    ),
    "a basic that is none": (
        {"data": GRANT, "no_client": True, "headers": {"authorization": "Basic /////w=="}},
        401,
        "invalid_client",
    ),
    "JSON": ({"json": GRANT}, 415, "invalid_request"),
    "a field twice": (
        {"content": "grant_type=a&grant_type=b", "headers": {"content-type": FORM}},
        400,
        "invalid_request",
    ),
    "many fields": (
        {"content": "a=1&" * 40 + "b=2", "headers": {"content-type": FORM}},
        400,
        "invalid_request",
    ),
    "no UTF-8": (
        {"content": "grant_type=%FF", "headers": {"content-type": FORM}},
        400,
        "invalid_request",
    ),
    "too large": (
        {"content": "a=" + "x" * 4096, "headers": {"content-type": FORM}},
        413,
        "invalid_request",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_has_the_shape_of_the_rfc(locked: tuple[House, str], name: str) -> None:
    home, key = locked
    given, status, code = REFUSED[name]
    given = dict(given)
    if "data" in given and not given.pop("no_client", False):
        given["data"] = parts(key) | given["data"]
    if given.pop("basic", False):
        given["headers"] = basic(key)
    async with home.client() as client:
        answer = await client.post(URL, **given)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert set(answer.json()) == {"error", "error_description"}
    assert '"' not in answer.json()["error_description"]
    assert answer.headers["cache-control"] == "no-store"
    scheme = answer.headers.get("www-authenticate")
    with_header = status == 401 and "headers" in given
    assert scheme == ('Basic realm="intramural"' if with_header else None)


async def test_a_server_without_keys_gives_no_tokens() -> None:
    async with house().client() as client:
        answer = await client.post(URL, data=GRANT | {"client_id": "a", "client_secret": "b"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_after_many_failures_a_right_secret_still_passes(locked: tuple[House, str]) -> None:
    home, key = locked
    wrong = GRANT | parts(key) | {"client_secret": "x" * 43}
    async with home.client() as client:
        statuses = [
            (await client.post(URL, data=wrong)).status_code for _ in range(MAX_FAILURES + 2)
        ]
        last = await client.post(URL, data=wrong)
        right = await client.post(URL, data=GRANT | parts(key))
    assert statuses == [401] * MAX_FAILURES + [429] * 2
    assert int(last.headers["retry-after"]) >= 1
    assert right.status_code == 200


def test_the_bound_of_failures_is_of_a_window() -> None:
    now = 0.0
    bound = FailureBound(lambda: now)
    for _ in range(MAX_FAILURES):
        bound.failed()
    with pytest.raises(TooManyFailures) as refused:
        bound.failed()
    assert refused.value.retry_after_s == 60
    now = 60.0
    bound.failed()
