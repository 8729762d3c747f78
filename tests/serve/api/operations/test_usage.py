"""The reports over HTTP: who gets which, in which form, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from serve.api.app import create_app
from serve.api.operations.usage_shapes import CSV_EXAMPLE, EXAMPLE, UsagePage
from serve.governance.identity.authenticators import Credentials
from serve.governance.principal import Principal, Scope
from serve.governance.usage.reports import UsageReports
from serve.service.requests import Service
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.database import Database
from serve.storage.places import SqliteFile
from tests.serve.api.house import House, Records, house
from tests.serve.storage.ledgers import entry, filling

NOVEMBER = "from=2026-11-01&to=2026-11-30"


class Names:
    """Knows each caller by the word that it shows: its owner. Only ``root`` has the scope admin."""

    def authenticate(self, credentials: Credentials) -> Principal:
        (owner,) = credentials.authorization
        scopes: frozenset[Scope] = frozenset({"admin"} if owner == "root" else {"infer"})
        return Principal(key_id=f"key-{owner}", name="", tenant="ward", owner=owner, scopes=scopes)


class Away:
    """A database that does not answer."""

    async def read(self, _work: Any) -> Any:
        raise StoreUnavailable("it is away")


def house_with(usage: UsageReports | None) -> House:
    state = house().state
    service = Service(state.service.directory, (Names(),), listeners=())
    state = replace(state, service=service, usage=usage)
    return House(state, Records(), create_app(state))


@pytest.fixture
async def home(database_file):
    database = Database(SqliteFile(path=database_file))
    await database.write(
        filling(
            entry(owner="ann", key_id="key-ann", model="=cmd"),
            entry(owner="ann", key_id="key-ann"),
            entry(owner="bob", key_id="key-bob"),
            entry(owner="root", tenant="lab", key_id="key-root"),
        )
    )
    yield house_with(UsageReports(database, ZoneInfo("UTC")))
    await database.close()


async def ask(home: House, path: str, owner: str = "ann", **headers: str) -> Any:
    async with home.client() as client:
        return await client.get(path, headers={"authorization": owner, **headers})


async def test_ones_own_usage(home):
    answer = await ask(home, f"/v1/usage?{NOVEMBER}&group_by=owner,model")
    assert answer.status_code == 200
    UsagePage.model_validate(answer.json())
    assert [(row["owner"], row["model"]) for row in answer.json()["data"]] == [
        ("ann", "=cmd"),
        ("ann", "demo"),
    ]
    assert answer.json()["totals"]["costs"] == [{"amount": "3.000002", "currency": "EUR"}]


async def test_a_key_of_others_is_404(home):
    answer = await ask(home, f"/v1/usage?{NOVEMBER}&key=key-bob")
    unknown = await ask(home, f"/v1/usage?{NOVEMBER}&key=key-xyz")
    assert answer.status_code == unknown.status_code == 404
    assert answer.text.replace("key-bob", "key-xyz") == unknown.text


async def test_everybodys_needs_the_scope_admin(home):
    refused = await ask(home, "/admin/usage")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    answer = await ask(home, f"/admin/usage?{NOVEMBER}&group_by=tenant,owner", "root")
    assert [row["owner"] for row in answer.json()["data"]] == ["root", "ann", "bob"]
    narrowed = await ask(home, f"/admin/usage?{NOVEMBER}&group_by=owner&tenant=lab", "root")
    assert [row["owner"] for row in narrowed.json()["data"]] == ["root"]


@pytest.mark.parametrize(
    ("accept", "form", "is_csv"),
    [
        ("*/*", "", False),
        ("text/csv", "", True),
        ("text/csv;q=0.5, application/json", "", False),
        ("application/json;q=0.5, text/csv", "", True),
        ("text/csv; q=x", "", False),
        ("text/csv", "&format=json", False),
        ("application/json", "&format=csv", True),
    ],
)
async def test_the_form_is_asked_for(home, accept, form, is_csv):
    answer = await ask(home, f"/v1/usage?{NOVEMBER}{form}", accept=accept)
    assert answer.headers["content-type"].startswith("text/csv" if is_csv else "application/json")
    assert answer.headers["vary"] == "Accept"


async def test_csv_has_no_formula_and_tells_its_next_page(home):
    answer = await ask(home, f"/v1/usage?{NOVEMBER}&group_by=model&limit=1&format=csv")
    header, row, _ = answer.text.split("\r\n")
    assert header.startswith("model,requests,")
    assert row.startswith("'=cmd,1,")
    assert answer.headers["content-disposition"] == 'attachment; filename="usage.csv"'
    link, _, relation = answer.headers["link"].partition("; ")
    assert relation == 'rel="next"'
    following = await ask(home, link.strip("<>"))
    assert following.text.split("\r\n")[1].startswith("demo,1,")
    assert "link" not in following.headers


@pytest.mark.parametrize(
    ("query", "param"), [("grup_by=day", "grup_by"), ("limit=0", "limit"), ("owner=bob", "owner")]
)
async def test_what_is_not_understood_is_400(home, query, param):
    answer = await ask(home, f"/v1/usage?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_without_a_ledger_it_says_so():
    for path, owner in (("/v1/usage", "ann"), ("/admin/usage", "root")):
        answer = await ask(house_with(None), path, owner)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_ledger")


async def test_a_database_that_is_away_is_503():
    reports = UsageReports(Away(), ZoneInfo("UTC"))  # type: ignore[arg-type]
    answer = await ask(house_with(reports), "/v1/usage")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "usage_unavailable")
    assert answer.headers["retry-after"] == "5"


async def test_the_description_has_parameters_and_examples(home):
    paths = (await ask(home, "/openapi.json")).json()["paths"]
    own, everyone = (paths[path]["get"] for path in ("/v1/usage", "/admin/usage"))
    names = {parameter["name"] for parameter in own["parameters"]}
    assert names == {"from", "to", "group_by", "key", "model", "format", "limit", "after"}
    assert {parameter["name"] for parameter in everyone["parameters"]} - names == {
        "tenant",
        "owner",
    }
    content = own["responses"]["200"]["content"]
    assert content["application/json"]["example"] == EXAMPLE
    assert content["application/json"]["schema"]["$ref"].endswith("/UsagePage")
    assert content["text/csv"]["example"] == CSV_EXAMPLE
