"""Administrators' acts by HTTP: in the log before they are answered, or not done."""

from __future__ import annotations

import base64
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from serve.api.app import routes_of
from serve.api.http.acts import is_act, recorded
from serve.api.http.middleware import CALL_KEY
from serve.api.policy import ADMIN, ANY_KEY, INFER, METRICS, PUBLIC, Policy
from serve.governance.identity import keys
from tests.contracts.audit import watched
from tests.serve.api.house import house
from tests.serve.governance.audit.records.logs import MemoryLog, audit_of


def test_acts_are_of_those_who_administer_and_audit() -> None:
    assert [is_act(policy) for policy in (ADMIN, Policy(scope="audit"))] == [True, True]
    assert not any(is_act(policy) for policy in (PUBLIC, ANY_KEY, INFER, METRICS))


async def test_every_such_route_is_recorded_before_its_answer() -> None:
    async with watched() as watch:
        routes = [route for route in routes_of(watch.home.state) if is_act(route.policy)]
        assert routes
        assert all(route.handler.__module__ == recorded.__module__ for route in routes)

        async def answers(_request: Request) -> Response:
            return Response("figures")

        with watch.home.service.call(method="GET") as call:
            call.record.key_id = "boss"
            scope = {"type": "http", "method": "GET", "path": "/admin/x", "headers": []}
            scope |= {"query_string": b"from=1", CALL_KEY: call}
            handler = recorded(watch.home.service, "/admin/x", answers)
            assert (await handler(Request(scope))).body == b"figures"
        (act,) = watch.log.of_type("admin")
        assert (act["act"], act["details"]) == ("GET /admin/x", {"query": "from=1"})
        assert act["who"] == {"key": "boss"}


async def test_no_token_is_given_that_cannot_be_recorded(tmp_path: Path) -> None:
    log = MemoryLog()
    audit = await audit_of(log)
    key = keys.create(tmp_path / "keys.json", name="robot")
    home = house(keys=tmp_path / "keys.json", audit=audit)
    client_id, _, _ = key.removeprefix("sk-").partition(".")
    pair = base64.b64encode(f"{client_id}:{key.partition('.')[2]}".encode()).decode()
    async with home.client() as client:
        headers = {"authorization": f"Basic {pair}"}
        form = {"grant_type": "client_credentials"}
        answer = await client.post("/oauth/token", data=form, headers=headers)
        assert answer.status_code == 200
        (act,) = log.of_type("admin")
        assert (act["act"], act["who"], act["details"]) == (
            "token.issue", {"key": client_id}, {"scopes": ["batch", "infer", "metrics"]}
        )  # fmt: skip
        assert answer.json()["access_token"] not in str(log.records)
        log.fails = True
        answer = await client.post("/oauth/token", data=form, headers=headers)
        assert answer.status_code == 503
        assert answer.json()["error"] == "temporarily_unavailable"


async def test_readiness_and_admission_end_with_the_log() -> None:
    async with watched() as watch, watch.home.client() as client:
        assert (await client.get("/readyz")).status_code == 200
        watch.log.fails = True
        body = {"model": "demo", "prompt": "x"}
        assert (await client.post("/v1/completions", json=body)).status_code == 503
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "audit_unavailable")
        assert (await client.get("/livez")).status_code == 200
        watch.log.fails = False
        assert await watch.audit.keeper.come_back()
        assert (await client.get("/readyz")).status_code == 200
