"""Stored keys as JSON. test_key_file.py has the entries that are refused."""

from __future__ import annotations

import json

import pytest

from serve.governance.identity.key_json import entry_of, key_of
from tests.serve.governance.stored_keys import NOON, stored_key, stored_secret, version_1


def test_a_key_is_the_same_after_it_was_written() -> None:
    for key in (
        stored_key("x"),
        stored_key(
            "x",
            owner="anna",
            scopes=frozenset(),
            models=frozenset({"demo"}),
            limits={"tokens_per_day": 5, "money_per_day": "1.5"},
            secrets=(stored_secret("x"), stored_secret("y", valid_until=NOON)),
            preset="qa",
            pepper="ab" * 8,
            rotated_at=NOON,
            expires_at=NOON,
            disabled=True,
        ),
    ):
        assert key_of(json.loads(json.dumps(entry_of(key)))) == key


def test_every_field_is_needed() -> None:
    entry = entry_of(stored_key("x"))
    for name in entry:
        with pytest.raises(KeyError, match=name):
            key_of({other: value for other, value in entry.items() if other != name})
    (old,) = json.loads(version_1("one", secret="x"))["keys"]
    for name in old:
        with pytest.raises(KeyError, match=name):
            key_of({other: value for other, value in old.items() if other != name}, 1)


def test_a_key_without_a_preset_is_written_as_before_there_were_any() -> None:
    assert "preset" not in entry_of(stored_key("x"))
    with pytest.raises(ValueError, match="a preset's name"):
        key_of({**entry_of(stored_key("x")), "preset": "a b"})
