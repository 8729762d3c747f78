"""The keys in force: who is known, and that a refusal costs what a welcome does."""

from __future__ import annotations

import contextlib
import hmac
import math
import random
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from serve.errors import InvalidApiKey, StartupError
from serve.governance.identity import key_entry, pepper
from serve.governance.identity.key_entry import MAX_SECRETS, peppered
from serve.governance.identity.key_table import KeyTable, check_models, unserved_models
from serve.governance.identity.pepper import Pepper
from tests.serve.governance.stored_keys import NOON, stored_key, stored_secret

SECRET, OTHER, THIRD = "a" * 43, "b" * 43, "c" * 43
GOOD = "good-key-id1"
CASES = {
    "good": (GOOD, SECRET),
    "good, by the older secret": ("rotated-key1", OTHER),
    "an older secret that is over": ("rotated-key2", OTHER),
    "a wrong secret": (GOOD, THIRD),
    "an unknown id": ("nobody-there", SECRET),
    "revoked": ("revoked-key1", SECRET),
    "revoked, a wrong secret": ("revoked-key1", THIRD),
    "expired": ("expired-key1", SECRET),
}


def keys() -> tuple[key_entry.StoredKey, ...]:
    def two(until: Any) -> Any:
        return (stored_secret(SECRET), stored_secret(OTHER, valid_until=until))

    return (
        stored_key(SECRET, key_id=GOOD),
        stored_key(SECRET, key_id="rotated-key1", secrets=two(NOON + timedelta(seconds=1))),
        stored_key(SECRET, key_id="rotated-key2", secrets=two(NOON)),
        stored_key(SECRET, key_id="revoked-key1", disabled=True),
        stored_key(SECRET, key_id="expired-key1", expires_at=NOON),
    )


def table(by: Pepper | None = None) -> KeyTable:
    return KeyTable(peppered(keys(), by), pepper=by, wall_clock=lambda: NOON)


def asked(found: KeyTable, case: str) -> str:
    key_id, secret = CASES[case]
    try:
        found.authenticate(f"sk-{key_id}.{secret}")
    except InvalidApiKey as error:
        return str(error)
    return "known"


@pytest.mark.parametrize("by", [None, Pepper(b"p" * 32)])
def test_who_is_known_and_who_is_not(by: Pepper | None) -> None:
    told = {case: asked(table(by), case) for case in CASES}
    assert [case for case, says in told.items() if says == "known"] == [
        "good",
        "good, by the older secret",
    ]
    assert "revoked" in told["revoked"]
    assert "expired" in told["expired"]
    # Without its secret nobody learns what state a key is in, or that it is there.
    unknown = told["an unknown id"]
    assert told["a wrong secret"] == told["revoked, a wrong secret"] == unknown
    assert told["an older secret that is over"] == unknown


@pytest.mark.parametrize("by", [None, Pepper(b"p" * 32)])
def test_every_answer_costs_the_same_hashes(
    by: Pepper | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"digest": 0, "compare_digest": 0}

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(hmac, name)

        def call(*words: Any) -> Any:
            counts[name] += 1
            return real(*words)

        return call

    class Counted:
        digest = staticmethod(counted("digest"))
        compare_digest = staticmethod(counted("compare_digest"))

    found = table(by)
    monkeypatch.setattr(key_entry, "hmac", Counted)
    monkeypatch.setattr(pepper, "hmac", Counted)
    spent = {}
    for case in CASES:
        counts.update(digest=0, compare_digest=0)
        asked(found, case)
        spent[case] = tuple(counts.values())
    hashes = MAX_SECRETS * (1 if by is None else 2)
    assert set(spent.values()) == {(hashes, MAX_SECRETS)}


@pytest.mark.parametrize(
    "text", ["", "sk-", "sk-a.b", f"sk-{GOOD}.{SECRET}x", f"sk-{GOOD}", f"SK-{GOOD}.{SECRET}"]
)
def test_what_has_not_the_form_of_a_key_is_none(text: str) -> None:
    with pytest.raises(InvalidApiKey):
        table().authenticate(text)


def test_a_key_is_found_by_its_id_while_it_is_in_force() -> None:
    found = table()
    assert found.enabled(GOOD).key_id == GOOD
    for key_id in ("nobody-there", "revoked-key1", "expired-key1"):
        with pytest.raises(InvalidApiKey):
            found.enabled(key_id)
    found.replace(())
    assert (len(found), found.keys()) == (0, ())
    with pytest.raises(InvalidApiKey):
        found.enabled(GOOD)


def test_a_model_that_is_not_served_is_named() -> None:
    named = stored_key(SECRET, models=frozenset({"demo", "other"}))
    served = frozenset({"demo"})
    assert unserved_models((*keys(), named), served) == [("abc", "other")]
    check_models((named,), None)
    check_models(keys(), served)
    with pytest.raises(StartupError, match=r"abc may ask the model 'other'.*Served: demo"):
        check_models((named,), served)


def welch_t(first: list[float], second: list[float]) -> float:
    """Welch's statistic, after the slowest tenth was cut from both at one bound.

    That is dudect's way (Reparaz, Balasch, Verbauwhede 2017): interrupts are not looked for.
    """
    bound = statistics.quantiles(first + second, n=10)[-1]
    a, b = ([value for value in each if value <= bound] for each in (first, second))
    spread = statistics.variance(a) / len(a) + statistics.variance(b) / len(b)
    return (statistics.fmean(a) - statistics.fmean(b)) / math.sqrt(spread)


def key_id(kind: str, number: int) -> str:
    return f"{kind}-{number:011d}"


NUM_EACH = 1024


def many_keys() -> tuple[key_entry.StoredKey, ...]:
    def fields(kind: str) -> dict[str, Any]:
        later = NOON + timedelta(days=1)
        two = (stored_secret(SECRET), stored_secret(OTHER, valid_until=later))
        given = {"b": {"secrets": two}, "c": {"disabled": True}, "d": {"expires_at": NOON}}
        return given.get(kind, {})

    wanted = [(kind, number) for kind in "abcd" for number in range(NUM_EACH)]
    random.Random(7).shuffle(wanted)  # or a kind would have places in memory of its own
    return tuple(
        stored_key(SECRET, key_id=key_id(kind, number), **fields(kind)) for kind, number in wanted
    )


PAIRS = {
    # Kinds of keys, and how many letters of the secret are right. Both are refused alike, and
    # differ in what an attacker would like to know. No key is of kind x.
    "near the secret or far": (("a", 42), ("a", 0)),
    "revoked or enabled": (("c", 0), ("a", 0)),
    "expired or enabled": (("d", 0), ("a", 0)),
    "known or unknown": (("a", 0), ("x", 0)),
    "two secrets or one": (("b", 0), ("a", 0)),
}
BY_PLACE = {"known or unknown", "two secrets or one"}
"""Pairs of other objects in memory, so of other misses of the caches: ids and the number
of secrets are no secrets, and their medians are held together instead."""


def shots(pair: str, source: random.Random, number: int) -> list[tuple[int, str]]:
    """Keys of both kinds, mixed. Each text is new: none has a place in memory of its own."""
    found = []
    for _ in range(number):
        which = source.randrange(2)
        kind, num_right = PAIRS[pair][which]
        wrong = "".join(source.choices("ABCDEFGH", k=43 - num_right))
        found.append(
            (which, f"sk-{key_id(kind, source.randrange(NUM_EACH))}.{'a' * num_right}{wrong}")
        )
    return found


@pytest.mark.parametrize("pair", PAIRS)
def test_time_tells_nothing(pair: str, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("measures time, 100,000 samples: `make prove`; the hashes are counted above")
    by = Pepper(b"p" * 32)
    found = KeyTable(peppered(many_keys(), by), pepper=by, wall_clock=lambda: NOON)
    scores = []
    for attempt in range(3):  # another process's noise is not ours: the best of three
        times: tuple[list[float], list[float]] = ([], [])
        for which, text in shots(pair, random.Random(attempt), 100_000):
            began = time.perf_counter_ns()
            with contextlib.suppress(InvalidApiKey):
                found.authenticate(text)
            times[which].append(time.perf_counter_ns() - began)
        scores.append(abs(welch_t(*times)))
        low, high = sorted(map(statistics.median, times))
        print(f"{pair}: |t| = {scores[-1]:.2f}, medians {low} and {high} ns")
        if scores[-1] < 4.5 or (pair in BY_PLACE and high < 1.05 * low):
            return
    raise AssertionError(f"|t| of three attempts: {scores}")
