"""Questions about usage: what is understood, and that nothing else is."""

from __future__ import annotations

import base64
from datetime import date

import pytest

from serve.errors import InvalidRequest
from serve.governance.usage.query import MAX_DAYS, UsageQuery, cursor, parse_query

TODAY = date(2026, 11, 29)


def encoded(plain: bytes) -> str:
    return base64.urlsafe_b64encode(plain).decode()


def parse(query: str, *, is_admin: bool = False) -> UsageQuery:
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    return parse_query(pairs, is_admin=is_admin)[0]


def test_without_parameters_it_is_the_last_30_days_by_day():
    query = parse("")
    assert query.group_by == ("day",)
    assert query.days(TODAY) == (date(2026, 10, 31), TODAY)


def test_all_parameters():
    query = parse(
        "from=2026-11-01&to=2026-11-02&group_by=model, owner&key=a&model=b&limit=7"
        "&tenant=t&owner=o",
        is_admin=True,
    )
    assert query == UsageQuery(
        first=date(2026, 11, 1),
        last=date(2026, 11, 2),
        group_by=("model", "owner"),
        key="a",
        model="b",
        limit=7,
        tenant="t",
        owner="o",
    )


@pytest.mark.parametrize(
    ("query", "param", "told"),
    [
        ("form=2026-11-01", "form", "Did you mean format or from?"),
        ("tenant=x", "tenant", "parameter of /admin/usage"),
        ("owner=x", "owner", "parameter of /admin/usage"),
        ("key=a&key=b", "key", "given twice"),
        ("from=2026-13-01", "from", "such as 2026-11-30"),
        ("from=20261101", "from", "a day is needed"),
        ("from=2026-W01-1", "from", "a day is needed"),
        ("to=yesterday", "to", "a day is needed"),
        ("to=", "to", "0 characters"),
        ("group_by=days", "group_by", "Did you mean day?"),
        ("group_by=day,day", "group_by", "twice"),
        ("group_by=", "group_by", "0 characters"),
        ("limit=0", "limit", "from 1 to 1000"),
        ("limit=1001", "limit", "from 1 to 1000"),
        ("limit=-1", "limit", "from 1 to 1000"),
        ("limit=１", "limit", "from 1 to 1000"),
        ("format=xml", "format", "json or csv"),
        ("key=a\0b", "key", "that can be printed"),
        ("key=" + "a" * 257, "key", "257 characters"),
        ("after=x", "after", "as it came"),
        ("after=bnVsbA", "after", "as it came"),
        ("after=" + cursor(["day"], ["a", "b", "c"]), "after", "as it came"),
        ("after=" + cursor(["model"], ["a", "EUR"]), "after", "as it came"),
        (
            "after=" + base64.urlsafe_b64encode(b'[["day"],["\\ud800",""]]').decode(),
            "after",
            "came",
        ),
        ("after=" + cursor(["day"], ["a\0", "EUR"]), "after", "as it came"),
        ("after=" + encoded(b"[" * 900), "after", "as it came"),
    ],
)
def test_what_is_not_understood_is_refused(query, param, told):
    with pytest.raises(InvalidRequest) as caught:
        parse(query)
    assert caught.value.param == param
    assert told in caught.value.message


def test_days_that_cannot_be_are_refused():
    with pytest.raises(InvalidRequest, match="swap them"):
        parse("from=2026-11-02&to=2026-11-01").days(TODAY)
    with pytest.raises(InvalidRequest, match=f"at most {MAX_DAYS}"):
        parse("from=2025-11-28&to=2026-11-29").days(TODAY)
    assert parse("to=0001-01-01").days(TODAY) == (date.min, date.min)


def test_a_cursor_comes_back_as_it_was():
    position = ("2026-11-01", '模型/"x"', "EUR")
    text = cursor(["day", "model"], position)
    assert parse(f"group_by=day,model&after={text}").after == position
