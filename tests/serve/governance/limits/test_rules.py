"""Rules: whom a limit is for, and under which name its account is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serve.governance.limits.rules import Limit, Rules, escaped, user_of
from tests.serve.governance.limits.limited import ANN, ANN_AGAIN


@pytest.mark.parametrize(
    ("named", "subject"),
    [
        ({}, ()),
        ({"key": "key-a"}, ("key=key-a",)),
        ({"key": "key-b"}, None),
        ({"user": "*"}, ("user=ann", "of=tenant")),
        ({"user": "*", "tenant": "*"}, ("tenant=tenant", "user=ann")),
        ({"model": "demo", "tenant": "tenant"}, ("tenant=tenant", "model=demo")),
        ({"model": "adapted", "key": "key-a"}, None),
    ],
)
def test_all_that_is_named_has_to_be_so(named: dict[str, str], subject: object) -> None:
    assert Limit(name="a", bounds={}, **named).subject(ANN, "demo") == subject


def test_two_keys_of_a_user_are_one_and_two_tenants_users_are_two() -> None:
    limit = Limit(name="a", user="*", bounds={})
    other = replace(ANN, tenant="other")
    subjects = [limit.subject(each, "demo") for each in (ANN, ANN_AGAIN, other)]
    assert subjects[0] == subjects[1] != subjects[2]
    assert user_of(replace(ANN, owner="")) == "key-a"


def test_names_cannot_be_made_to_look_like_others() -> None:
    limit = Limit(name="a", user="*", tenant="*", bounds={})
    odd = [replace(ANN, tenant="t:user=x", owner="y"), replace(ANN, tenant="t", owner="x:user=y")]
    assert len({limit.subject(each, "demo") for each in odd}) == 2
    assert escaped("a%3A/:=") == "a%253A%2F%3A%3D"


def test_an_alias_has_the_price_of_its_model() -> None:
    rules = Rules(aliases={"alias": "demo"}, weights={"tenant": 3})
    assert (rules.model_of("alias"), rules.model_of("none")) == ("demo", "none")
    assert (rules.weight_of("tenant"), rules.weight_of("other")) == (3, 1)
