"""Changes of keys: each gives back all of them, and one is another."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from serve.errors import StartupError
from serve.governance.identity.key_changes import (
    DEFAULT_SCOPES,
    NewKey,
    limited,
    made,
    revoked,
    rotated,
    without,
)
from serve.governance.identity.pepper import Pepper

PEPPER = Pepper(b"p" * 32)
HOUR = timedelta(hours=1)


def secret_of(key: str) -> str:
    return key.partition(".")[2]


def test_a_key_is_its_own_tenant_unless_it_is_said() -> None:
    entry, key = made(NewKey(name="ci"), PEPPER)
    assert (entry.tenant, entry.owner, entry.models) == (entry.key_id, "", None)
    assert entry.scopes == set(DEFAULT_SCOPES) == {"infer", "batch", "metrics"}
    assert entry.secrets[0].matches(secret_of(key), PEPPER)
    assert entry.pepper == PEPPER.pepper_id
    wish = NewKey(
        tenant="ward-3",
        owner="anna",
        scopes=("infer",),
        models=("demo",),
        limits={"tokens_per_day": 5},
    )
    other, _ = made(wish, None)
    assert (other.tenant, other.owner, other.models) == ("ward-3", "anna", {"demo"})
    assert (other.limits, other.pepper) == ({"tokens_per_day": 5}, None)


def test_no_id_is_taken_for_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["-aaaaaaaaaaa", "-bbbbbbbbbbb", "cccccccccccc"])
    monkeypatch.setattr(
        "serve.governance.identity.key_changes.secrets.token_urlsafe",
        lambda size: next(ids) if size == 9 else "x" * 43,
    )
    assert made(NewKey(), None)[0].key_id == "cccccccccccc"


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"name": "x" * 65}, "A key's name has at most"),
        ({"tenant": ""}, "A tenant is"),
        ({"owner": "a b"}, "An owner is"),
        ({"scopes": ("root",)}, "No scope is called"),
        ({"models": ("",)}, "A model's name"),
        ({"limits": {"x": 1}}, "No limit is called"),
    ],
)
def test_a_wish_that_does_not_do_says_why(wish: dict[str, Any], says: str) -> None:
    with pytest.raises(StartupError, match=says):
        made(NewKey(**wish), None)


def test_two_secrets_are_good_until_a_time() -> None:
    entry, first = made(NewKey(), PEPPER)
    bystander, _ = made(NewKey(), PEPPER)
    before = datetime.now(UTC)
    keys, second = rotated((entry, bystander), entry.key_id, HOUR, PEPPER)
    assert keys[1] == bystander
    new, old = keys[0].secrets
    assert new.matches(secret_of(second), PEPPER)
    assert old.matches(secret_of(first), PEPPER)
    assert new.valid_until is None
    assert old.valid_until is not None
    assert (
        timedelta() <= old.valid_until - before - HOUR + timedelta(seconds=1) < timedelta(minutes=5)
    )
    assert keys[0].rotated_at is not None
    again, third = rotated(keys, entry.key_id, HOUR, PEPPER)
    assert len(again[0].secrets) == 2, "a third ends the first"
    assert not any(secret.matches(secret_of(first), PEPPER) for secret in again[0].secrets)
    at_once, _ = rotated(again, entry.key_id, timedelta(), PEPPER)
    assert len(at_once[0].secrets) == 1
    assert not at_once[0].secrets[0].matches(secret_of(third), PEPPER)


def test_what_cannot_be_rotated_says_why() -> None:
    entry, _ = made(NewKey(), None)
    gone = replace(entry, disabled=True)
    for keys, key_id, overlap, says in (
        ((entry,), "nobody", HOUR, "No key has the id"),
        ((gone,), entry.key_id, HOUR, "is revoked, for good"),
        ((entry,), entry.key_id, -HOUR, "0 to 2160 hours"),
        ((entry,), entry.key_id, 91 * 24 * HOUR, "0 to 2160 hours"),
    ):
        with pytest.raises(StartupError, match=says):
            rotated(keys, key_id, overlap, None)


def test_limits_are_changed_one_by_one() -> None:
    entry, _ = made(NewKey(limits={"tokens_per_day": 5, "money_per_day": "1"}), None)
    (changed,) = limited((entry,), entry.key_id, {"tokens_per_day": None, "concurrent_requests": 2})
    assert changed.limits == {"concurrent_requests": 2, "money_per_day": "1"}
    with pytest.raises(StartupError, match="No limit is called 'x'"):
        limited((entry,), entry.key_id, {"x": 1})


def test_revoking_and_taking_out() -> None:
    (entry, key), (other, _) = made(NewKey(), None), made(NewKey(), None)
    assert [k.disabled for k in revoked((entry, other), entry.key_id)] == [True, False]
    assert without((entry, other), key) == (other,)
    with pytest.raises(StartupError, match="No key has the id"):
        revoked((entry,), "nobody")
