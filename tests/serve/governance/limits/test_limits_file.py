"""The limits file: what it may say, and that each line that cannot be meant is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.limits.limits_file import limit_of_key, parse_rules, read_rules
from serve.governance.limits.rules import Limit, most_at_once
from tests.serve.governance.limits.limited import ANN, KNOWN, PRICES

WHOLE = (
    'time_zone = "Europe/Berlin"\n'
    + PRICES
    + """
[tenants.research]
weight = 3

[[limits]]
name = "each user"
user = "*"
tokens_per_minute = 20000
money_per_month = "25.5"

[[limits]]
name = "research"
tenant = "research"
model = "alias"
concurrent_requests = 4
mode = "observe"
"""
)


def test_all_of_it_is_read() -> None:
    rules = parse_rules(WHOLE, KNOWN)
    user, research = rules.limits
    assert user.bounds == {"tokens_per_minute": 20000, "money_per_month": 25_500_000}
    assert (research.model, research.is_enforced) == ("demo", False)
    assert (rules.weight_of("research"), rules.weight_of("tenant")) == (3, 1)
    assert rules.calendar.zone == "Europe/Berlin"
    price = rules.price_of("alias")
    assert price is not None
    assert (price.input, price.cached_input, price.output) == (1_000_000, 100_000, 2_000_000)


def test_an_empty_file_limits_nobody() -> None:
    assert parse_rules("", KNOWN).limits == ()


LIMIT = '[[limits]]\nname = "x"\n'
FAULTS = {
    "limits = 3": "[[limits]]: is not a list",
    "[prices]\ndemo = 1\n": '[prices."demo"]: is not a table',
    "colour = 1": "'colour' is no field of it. Fields: time_zone",
    "[[limits]]\n": "no. 1: a name is needed",
    '[[limits]]\nname = "a\\nb"\n': "printable",
    '[[limits]]\nname = "key"\ntokens_per_day = 1\n': "stored with keys",
    LIMIT: "'x': it limits nothing",
    LIMIT + "tokens_per_mintue = 5": "Did you mean tokens_per_minute?",
    LIMIT + "tokens_per_minute = 5.0": "tokens_per_minute is 5.0: a whole number",
    LIMIT + "tokens_per_minute = true": "is True: a whole number",
    LIMIT + 'tokens_per_minute = "5"': "is '5': a whole number",
    LIMIT + "tokens_per_minute = -5": "tokens_per_minute is -5: at least 1",
    LIMIT + "requests_per_minute = 0": "is 0: at least 1",
    LIMIT + "tokens_per_day = 1000000000001": "at most 1000000000000",
    LIMIT + "money_per_day = 5.5": "is 5.5: write money as a string",
    LIMIT + 'money_per_day = "5,5"': "is '5,5': write digits",
    LIMIT + 'money_per_day = "-1"': "is '-1': write digits",
    LIMIT + 'money_per_day = "1e3"': "is '1e3': write digits",
    LIMIT + 'money_per_day = "NaN"': "write digits",
    LIMIT + 'money_per_day = "0"': "money_per_day is 0",
    LIMIT + 'money_per_day = "0.0000001"': "more than 6 decimal places",
    LIMIT + 'money_per_day = "1000001"': "at most 1,000,000",
    LIMIT + 'money_per_day = "1"': "the model 'adapted' has no price",
    LIMIT + 'money_per_day = "1"\nmodel = "alias"': "the model 'demo' has no price",
    LIMIT + 'tokens_per_day = 1\nmodel = "gpt"': "not served here. Served: demo",
    LIMIT + 'tokens_per_day = 1\nmodel = "demp"': "not served here. Did you mean demo?",
    LIMIT + 'tokens_per_day = 1\nkey = "kex-a"': "no key has that id",
    LIMIT + 'tokens_per_day = 1\nuser = "carl"': "no key has that owner",
    LIMIT + 'tokens_per_day = 1\ntenant = "nobody"': "no [tenants.NAME] declares it",
    LIMIT + 'tokens_per_day = 1\nkey = ""': "key is ''",
    LIMIT + 'tokens_per_day = 1\nmode = "watch"': "mode is 'watch'",
    (LIMIT + "tokens_per_day = 1\n") * 2: "no. 2, 'x': another limit has the same name",
    'currency = "euro"': "three capital letters",
    'time_zone = "Berlin"': "time_zone is 'Berlin', which is no time zone",
    'time_zone = "../etc/passwd"': "no time zone",
    '[prices.demo]\ninput = "1"\noutput = "1"\n': "there are prices and no currency",
    '[prices.demp]\ninput = "1"\noutput = "1"\n': "is served here. Served: demo",
    '[prices.demo]\ninput = "1"\n': "input and output are needed",
    '[prices.demo]\ninput = "1"\noutput = "10001"\n': "at most 10,000",
    '[prices.demo]\ninput = "1"\ncached_input = "2"\noutput = "1"\n': "more than input",
    PRICES + '[prices.alias]\ninput = "1"\noutput = "1"\n': "has a price already",
    "[tenants.a]\nweight = 0": "weight is 0",
    "[tenants.a]\nwait = 1": "'wait' is no field",
    "tenants = 1": "[tenants]: is not a table",
    "x = ": "no TOML",
}


@pytest.mark.parametrize("text", FAULTS)
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(StartupError) as refused:
        parse_rules(text, KNOWN)
    assert FAULTS[text] in str(refused.value)
    assert not str(refused.value).endswith("..")


def test_tokens_of_the_sites_own_name_users_that_nobody_can_check() -> None:
    text = LIMIT + 'tokens_per_day = 1\nuser = "carl"'
    assert parse_rules(text, replace(KNOWN, users=None)).limits[0].user == "carl"


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    with pytest.raises(StartupError, match=r"limits.toml is not there"):
        read_rules(path, KNOWN)
    path.write_text("x = ")
    with pytest.raises(StartupError, match=r"limits.toml: it is no TOML"):
        read_rules(path, KNOWN)
    path.write_bytes(b"\xff")
    with pytest.raises(StartupError, match="cannot be used"):
        read_rules(path, KNOWN)


def test_limits_of_keys_are_checked_as_others() -> None:
    assert limit_of_key({"tokens_per_day": 0}).bounds == {"tokens_per_day": 0}
    assert limit_of_key({"money_per_day": "1.5"}).bounds == {"money_per_day": 1_500_000}
    with pytest.raises(StartupError, match="limits of the key: money_per_day"):
        limit_of_key({"money_per_day": 1})


def test_so_many_limits_at_once_are_too_many() -> None:
    each = "".join(f'[[limits]]\nname = "{n}"\ntokens_per_day = 1\n' for n in range(49))
    with pytest.raises(StartupError, match="up to 49 amounts"):
        parse_rules(each, KNOWN)
    of_keys = [Limit(name=str(n), key=f"key-{n}", bounds={"tokens_per_day": 1}) for n in range(99)]
    assert most_at_once(of_keys) == 1


@pytest.mark.parametrize(
    ("options", "subject"),
    [
        ({}, ()),
        ({"key": "*"}, ("key=key-a",)),
        ({"key": "key-a"}, ("key=key-a",)),
        ({"key": "key-b"}, None),
        ({"user": "ann"}, ("user=ann", "of=tenant")),
        ({"user": "*", "tenant": "*"}, ("tenant=tenant", "user=ann")),
        ({"tenant": "*", "model": "*"}, ("tenant=tenant", "model=demo")),
        ({"tenant": "other"}, None),
    ],
)
def test_whose_account_a_request_fills(options: dict[str, str], subject: tuple[str, ...]) -> None:
    assert Limit(name="x", bounds={}, **options).subject(ANN, "demo") == subject


def test_no_two_subjects_have_one_name() -> None:
    limit = Limit(name="x", tenant="*", user="*", bounds={})
    odd = replace(ANN, tenant="a:user=b", owner="c/d%")
    assert limit.subject(odd, "demo") == ("tenant=a%3Auser%3Db", "user=c%2Fd%25")
    assert limit.subject(replace(ANN, owner=""), "demo") == ("tenant=tenant", "user=key-a")
