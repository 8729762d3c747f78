"""A stored key: its secrets, its state, and what an operator sees of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from serve.errors import StartupError
from serve.governance.identity.key_entry import (
    checked_models,
    checked_name,
    checked_owner,
    checked_scopes,
    checked_tenant,
    peppered,
)
from serve.governance.identity.pepper import Pepper
from tests.serve.governance.stored_keys import NOON, stored_key, stored_secret


def test_a_secret_matches_its_own_hash_only() -> None:
    for pepper in (None, Pepper(b"p" * 32)):
        secret = stored_secret("open sesame", pepper=pepper)
        assert secret.matches("open sesame", pepper)
        assert not secret.matches("open sesame ", pepper)
        assert not secret.matches("", pepper)
        assert not secret.matches("open sesame", Pepper(b"q" * 32))


def test_a_key_is_expired_at_its_time_and_not_before() -> None:
    key = stored_key("x", expires_at=NOON)
    assert not key.is_expired(NOON - timedelta(microseconds=1))
    assert key.is_expired(NOON)
    assert not stored_key("x").is_expired(NOON), "without a time it never expires"
    assert (key.state, stored_key("x").state) == ("expired", "enabled")
    assert stored_key("x", disabled=True).state == "revoked"
    old = stored_secret("x", valid_until=NOON)
    assert old.is_valid(NOON - timedelta(seconds=1))
    assert not old.is_valid(NOON)


def test_an_operator_sees_neither_salt_nor_hash() -> None:
    key = stored_key("x", expires_at=NOON, models=frozenset({"b", "a"}))
    shown = key.as_json()
    assert set(shown) == {
        *("id", "name", "tenant", "owner", "scopes", "models", "limits", "preset"),
        *("created_at", "rotated_at", "old_secret_until", "expires_at", "state"),
    }
    assert shown["expires_at"] == "2026-01-01T12:00:00+00:00"
    assert shown["models"] == ["a", "b"]
    secret = key.secrets[0]
    assert not any(part in str(shown) for part in (secret.salt, secret.hash))


def test_a_caller_has_what_the_key_says() -> None:
    key = stored_key(
        "x", tenant="ward-3", owner="anna", scopes=frozenset({"infer"}), models=frozenset({"demo"})
    )
    caller = key.principal()
    assert (caller.key_id, caller.tenant, caller.owner) == ("abc", "ward-3", "anna")
    assert (caller.scopes, caller.models) == ({"infer"}, {"demo"})


def test_a_pepper_is_gained_and_never_changed() -> None:
    one, other = Pepper(b"p" * 32), Pepper(b"q" * 32)
    (key,) = peppered((stored_key("x"),), one)
    assert (key.pepper, peppered((key,), one)) == (one.pepper_id, (key,))
    for pepper in (None, other):
        with pytest.raises(StartupError, match=one.pepper_id):
            peppered((key,), pepper)


def test_words_that_would_harm_are_refused() -> None:
    for tenant in ("", "a b", "a/b", "a:b", "x" * 65, "é", "a\n"):
        with pytest.raises(ValueError, match="tenant"):
            checked_tenant(tenant)
    for owner in ("a b", "x" * 129, "é", "a\n"):
        with pytest.raises(ValueError, match="owner"):
            checked_owner(owner)
    for name in ("x" * 65, "a\nb", "a\x00"):
        with pytest.raises(ValueError, match="printable"):
            checked_name(name)
    with pytest.raises(ValueError, match="model"):
        checked_models(["a b"])
    with pytest.raises(ValueError, match="no scope is called 'root'"):
        checked_scopes(["infer", "root"])
    assert checked_tenant("ward-3@site+x_1") == "ward-3@site+x_1"
    assert checked_owner("system:serviceaccount:ns:name") != checked_owner("")
    assert checked_models(None) is None
