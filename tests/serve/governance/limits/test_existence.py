"""Names that limits may use: those of the settings and of keys, and no others."""

from __future__ import annotations

from serve.governance.limits.existence import strangers, unpriced
from serve.governance.limits.rules import Limit
from tests.serve.governance.limits.limited import KNOWN


def limit(**named: str) -> Limit:
    return Limit(name="a", bounds={"money_per_day": 1}, **named)


def told(**named: str) -> list[str]:
    return list(strangers(limit(**named), KNOWN, declared=["declared"]))


def test_what_exists_and_each_are_no_strangers() -> None:
    assert told(key="key-a", user="ann", tenant="tenant", model="alias") == []
    assert told(key="*", user="*", tenant="declared", model="*") == []


def test_a_stranger_is_named_with_what_is_near() -> None:
    (key,) = told(key="key-c")
    assert "key is 'key-c'" in key
    assert "keys list" in key
    assert "adapted" in told(model="adaptd")[0]
    assert told(model="other") == [
        "model is 'other', and it is not served here. Served: demo, alias, adapted"
    ]
    assert len(told(key="x", user="x", tenant="x")) == 3


def test_money_needs_a_price_of_each_model_that_it_may_be_for() -> None:
    prices = ["demo"]
    assert list(unpriced(limit(model="alias"), KNOWN, prices)) == []
    (missing,) = unpriced(limit(), KNOWN, prices)
    assert '[prices."adapted"]' in missing
    counted = Limit(name="a", bounds={"tokens_per_day": 1})
    assert list(unpriced(counted, KNOWN, prices)) == []
