"""Reports: one's own is one's own, whatever is asked, and sums are exact."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from serve.errors import RouteNotFound
from serve.governance.principal import Principal
from serve.governance.usage.query import UsageQuery, parse_query
from serve.governance.usage.reports import UsageReports, decimal
from serve.storage.database import Database
from serve.storage.places import SqliteFile
from tests.serve.storage.ledgers import entry, filling

ANN = Principal(key_id="key-a", name="", tenant="ward", owner="ann")
NOVEMBER = "from=2026-11-01&to=2026-11-30"


def query(text: str = NOVEMBER, *, is_admin: bool = False) -> UsageQuery:
    pairs = [part.partition("=")[::2] for part in text.split("&")]
    return parse_query(pairs, is_admin=is_admin)[0]


@pytest.fixture
async def reports(database_file):
    database = Database(SqliteFile(path=database_file))
    await database.write(
        filling(
            entry(),
            entry(key_id="key-a2"),
            entry(owner="bob", key_id="key-b"),
            entry(tenant="lab", key_id="key-c"),
            entry(tenant="lab", owner="key-d", key_id="key-d"),
            entry(tenant="lab", owner="key-e", key_id="key-e"),
        )
    )
    yield UsageReports(database, ZoneInfo("Europe/Berlin"))
    await database.close()


async def test_ones_own_is_of_tenant_and_owner(reports):
    report = await reports.own(ANN, query(NOVEMBER + "&group_by=tenant,owner,key"))
    assert [usage.group for usage in report.groups] == [
        ("ward", "ann", "key-a"),
        ("ward", "ann", "key-a2"),
    ]


async def test_a_key_of_ones_own_may_be_asked_for(reports):
    report = await reports.own(ANN, query(NOVEMBER + "&key=key-a2"))
    assert report.as_json()["totals"]["requests"] == 1


async def test_a_key_that_was_never_used_may_ask_for_itself(reports):
    fresh = Principal(key_id="key-new", name="", tenant="ward", owner="ann")
    report = await reports.own(fresh, query(NOVEMBER + "&key=key-new"))
    assert report.as_json()["totals"]["requests"] == 0


@pytest.mark.parametrize("key", ["key-b", "key-c", "key-d", "unknown"])
async def test_a_key_of_others_is_as_one_that_is_not_there(reports, key):
    with pytest.raises(RouteNotFound) as caught:
        await reports.own(ANN, query(f"{NOVEMBER}&key={key}"))
    assert caught.value.message == f'There is no key "{key}" of yours that was used.'


async def test_keys_without_an_owner_share_nothing(reports):
    nobody = Principal(key_id="key-d", name="", tenant="lab")
    report = await reports.own(nobody, query(NOVEMBER + "&group_by=key"))
    assert [usage.group for usage in report.groups] == [("key-d",)]
    with pytest.raises(RouteNotFound):
        await reports.own(nobody, query(NOVEMBER + "&key=key-e"))


async def test_everyones_may_be_narrowed(reports):
    report = await reports.everyone(query(NOVEMBER + "&owner=ann&group_by=tenant", is_admin=True))
    assert [usage.group for usage in report.groups] == [("lab",), ("ward",)]
    assert len((await reports.everyone(query(NOVEMBER + "&group_by=key"))).groups) == 6


async def test_the_report_as_json(reports):
    report = await reports.own(ANN, query(NOVEMBER + "&group_by=key&limit=1"))
    told = report.as_json()
    assert told["data"] == [
        {
            "key": "key-a",
            "requests": 1,
            "prompt_tokens": 10,
            "cached_tokens": 4,
            "completion_tokens": 5,
            "reasoning_tokens": 2,
            "cost": {"amount": "1.500001", "currency": "EUR"},
        }
    ]
    assert told["totals"]["costs"] == [{"amount": "3.000002", "currency": "EUR"}]
    assert told["totals"]["requests"] == 2, "of all, not of the page"
    assert (told["has_more"], told["time_zone"]) == (True, "Europe/Berlin")
    rest = await reports.own(ANN, query(f"{NOVEMBER}&group_by=key&limit=1&after={told['next']}"))
    assert [usage.group for usage in rest.groups] == [("key-a2",)]
    assert rest.next is None


async def test_the_last_day_is_the_stores_today_in_the_budgets_zone(reports, monkeypatch):
    moment = 1_796_079_600_000  # 2026-11-30 23:00 UTC: in Berlin it is December
    monkeypatch.setattr("serve.storage.clock.now_ms", lambda _connection: moment)
    report = await reports.everyone(UsageQuery())
    assert (report.first_day, report.last_day) == ("2026-11-02", "2026-12-01")


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "0.000000"), (1, "0.000001"), (-1, "-0.000001"), (12_500_000, "12.500000")],
)
def test_money_is_exact(micros, text):
    assert decimal(micros) == text
