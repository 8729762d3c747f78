"""The reserve: who may take which place, who counts as active, and that counts stay true."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serve.service.flood_reserve import FloodReserve
from serve.service.place_shares import ACTIVE_S, Party, PlaceShares
from serve.timeline import RequestClass


class Kept(FloodReserve):
    """A reserve of so many places, that counts what it is told."""

    def __init__(self, num_places: int) -> None:
        super().__init__(num_places)
        self.num_kept = num_places
        self.told: Counter[str] = Counter()

    def num_places(self, now: float) -> int:
        return self.num_kept

    def found(self) -> None:
        self.told["found"] += 1

    def missed(self) -> None:
        self.told["missed"] += 1

    def crowded(self) -> None:
        self.told["crowded"] += 1


def shares_of(
    num_places: int = 16, reserve: int = 2, look_ahead: int = 0, **weights: float
) -> PlaceShares:
    return PlaceShares(
        num_places, look_ahead, lambda tenant: weights.get(tenant, 1.0), Kept(reserve)
    )


def party_of(tenant: str, kind: RequestClass = "interactive") -> Party:
    return kind, tenant


def hold(
    shares: PlaceShares,
    tenant: str,
    num: int,
    now: float = 0.0,
    kind: RequestClass = "interactive",
) -> None:
    for _ in range(num):
        shares.came((kind, tenant), 1, now)
        shares.begin((kind, tenant), 1)


def wait(shares: PlaceShares, tenant: str, num: int = 1, now: float = 0.0) -> None:
    for _ in range(num):
        shares.came(party_of(tenant), 1, now)


def may_begin(shares: PlaceShares, tenant: str) -> bool:
    return shares.may_begin(party_of(tenant))


def most_held(
    shares: PlaceShares,
    tenant: str,
    *,
    kind: RequestClass = "interactive",
) -> int:
    """Places that a tenant comes to have, one after another."""
    num = 0
    while num < 100 and not shares.is_full and shares.may_begin((kind, tenant)):
        hold(shares, tenant, 1, kind=kind)
        num += 1
    return num


def flooded(shares: PlaceShares, tenant: str = "flood", num_waiting: int = 1000) -> int:
    """Places that a tenant has which waits for many more."""
    wait(shares, tenant, num_waiting)
    num = 0
    while not shares.is_full and may_begin(shares, tenant):
        shares.begin(party_of(tenant), 1)
        num += 1
    return num


def test_a_flood_leaves_the_reserve_free_while_others_are_active() -> None:
    shares = shares_of(look_ahead=1)
    hold(shares, "b", 1)
    assert flooded(shares) == 16 - 1 - 2 - 1
    assert most_held(shares, "b") == 3


def test_who_is_alone_may_have_all() -> None:
    assert flooded(shares_of()) == 16


def test_a_burst_may_take_the_reserve_and_a_flood_its_share() -> None:
    shares = shares_of(num_places=100, reserve=100)
    for tenant in range(7):
        wait(shares, str(tenant))
    assert most_held(shares, "burst") == 24, "12.5 and three times the root of it"
    assert flooded(shares) == 12, "11.1, there being one more"


def test_shares_go_by_weight() -> None:
    shares = shares_of(num_places=100, reserve=100, flood=3.0)
    wait(shares, "b")
    assert flooded(shares) == 75


def test_a_tenant_without_a_place_may_always_take_one() -> None:
    shares = shares_of(num_places=2, reserve=1)
    for tenant in range(50):
        wait(shares, str(tenant), 50)
    hold(shares, "0", 1)
    assert not may_begin(shares, "0")
    assert may_begin(shares, "1")
    assert may_begin(shares, "new")


def test_the_reserve_is_free_for_all_once_the_others_are_not_active() -> None:
    shares = shares_of()
    hold(shares, "b", 1, now=0.0)
    wait(shares, "flood", 1000, now=5.0)
    for _ in range(13):
        shares.begin(party_of("flood"), 1)
    shares.end(party_of("b"), 1, now=6.0)
    shares.begin(party_of("flood"), 1)
    assert not may_begin(shares, "flood")
    shares.forget(6.0 + ACTIVE_S - 0.1)
    assert not may_begin(shares, "flood")
    shares.forget(6.0 + ACTIVE_S)
    assert may_begin(shares, "flood")


def test_who_waits_or_has_a_place_stays_active_and_the_next_change_is_later() -> None:
    shares = shares_of()
    wait(shares, "waits")
    hold(shares, "has", 1)
    flooded(shares)
    shares.forget(100.0)
    assert not may_begin(shares, "flood")
    assert shares.next_change(100.0) == ACTIVE_S
    shares.left(party_of("waits"), 1, 101.0)
    shares.end(party_of("has"), 1, 102.0)
    shares.begin(party_of("flood"), 1)
    shares.forget(102.0 + ACTIVE_S)
    assert may_begin(shares, "flood")


def test_a_lower_class_leaves_the_reserve_to_a_higher_whoever_asks() -> None:
    shares = shares_of(num_places=16, reserve=4)
    hold(shares, "a", 2)
    assert most_held(shares, "a", kind="batch") == 16 - 2 - 4
    assert most_held(shares, "b", kind="background") == 1, "a class that has none"
    assert most_held(shares, "c", kind="background") == 0
    assert most_held(shares, "a") == 3


def test_a_lower_class_has_all_places_once_the_higher_is_silent() -> None:
    shares = shares_of(num_places=16, reserve=4)
    hold(shares, "a", 1)
    hold(shares, "a", 12, kind="batch", now=5.0)
    shares.end(party_of("a"), 1, 6.0)
    assert not shares.may_begin(("batch", "a"))
    shares.forget(6.0 + ACTIVE_S)
    assert shares.may_begin(("batch", "a"))


def test_the_reserve_is_told_how_newcomers_fare_beside_a_flood() -> None:
    shares = shares_of(num_places=16, reserve=2)
    told = shares._reserve.told  # type: ignore[attr-defined]
    hold(shares, "b", 1)
    hold(shares, "b", 1)
    assert not told, "nobody floods"
    assert flooded(shares) == 12
    hold(shares, "b", 1)
    hold(shares, "c", 1)
    assert told == {"found": 2}
    wait(shares, "c")
    assert told == {"found": 2, "missed": 1}
    wait(shares, "d", 8)
    assert told["crowded"] == 1, "the flood has eight places beyond its share, and nine wait"
    assert told["missed"] == 8


def test_the_reserve_is_told_how_newcomers_fare_beside_a_lower_class() -> None:
    shares = shares_of(num_places=4, reserve=1)
    told = shares._reserve.told  # type: ignore[attr-defined]
    hold(shares, "a", 1)
    hold(shares, "a", 2, kind="batch")
    hold(shares, "a", 1)
    wait(shares, "a")
    assert told == {"found": 1, "missed": 1}
    wait(shares, "a")
    assert told == {"found": 1, "missed": 1, "crowded": 1}, "one place is the lower class's own"


@given(st.data())
def test_counts_are_true_whoever_does_what(data: st.DataObject) -> None:
    shares = shares_of(num_places=6, reserve=1, c=2.5)
    waiting: list[tuple[Party, int]] = []
    held: list[tuple[Party, int]] = []
    now = 0.0
    for _ in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.sampled_from([0.0, 0.1, 4.0, 30.0]))
        action = data.draw(st.sampled_from(["come", "come", "begin", "begin", "leave", "end"]))
        if action == "come":
            kind: RequestClass = data.draw(st.sampled_from(["interactive", "batch"]))
            party = party_of(data.draw(st.sampled_from("abc")), kind)
            waiting.append((party, data.draw(st.integers(1, 3))))
            shares.came(*waiting[-1], now)
        elif action == "begin" and waiting:
            held.append(waiting.pop(data.draw(st.integers(0, len(waiting) - 1))))
            shares.begin(*held[-1])
        elif action == "leave" and waiting:
            shares.left(*waiting.pop(data.draw(st.integers(0, len(waiting) - 1))), now)
        elif action == "end" and held:
            shares.end(*held.pop(data.draw(st.integers(0, len(held) - 1))), now)
        shares.forget(now)
        assert shares.num_held == sum(width for _, width in held)
        for name in ("interactive", "batch"):
            of = [width for party, width in [*waiting, *held] if party[0] == name]
            assert shares._needs[name] == sum(of)
        if not any(party[0] == shares._highest for party, _ in held):
            assert all(shares.may_begin((shares._highest, tenant)) for tenant in "abc")
    for one in held:
        shares.end(*one, now)
    for one in waiting:
        shares.left(*one, now)
    shares.forget(now + ACTIVE_S)
    assert not shares._active
