"""The reserve: who may take which place, who counts as active, and that counts stay true."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serve.service.place_shares import ACTIVE_S, BURST_SHARES, PlaceShares


def shares_of(num_places: int = 16, reserve: int = 2, **weights: float) -> PlaceShares:
    return PlaceShares(num_places, reserve, lambda tenant: weights.get(tenant, 1.0))


def hold(shares: PlaceShares, tenant: str, num: int, now: float = 0.0) -> None:
    for _ in range(num):
        shares.came(tenant, now)
        shares.begin(tenant, 1)


def most_held(shares: PlaceShares, tenant: str, *, has_saved: bool = False) -> int:
    """Places that a tenant comes to have, one after another."""
    num = 0
    while num < 100 and not shares.is_full and shares.may_begin(tenant, has_saved):
        hold(shares, tenant, 1)
        num += 1
    return num


def test_a_flood_leaves_the_reserve_free_while_others_are_active() -> None:
    shares = shares_of()
    hold(shares, "b", 1)
    assert most_held(shares, "flood") == 16 - 1 - 2
    assert most_held(shares, "b") == 2


def test_who_is_alone_may_have_all() -> None:
    assert most_held(shares_of(), "a") == 16


def test_within_its_share_a_tenant_may_take_the_reserve() -> None:
    shares = shares_of(b=3.0)
    for tenant in "abcd":
        shares.came(tenant, 0.0)
    hold(shares, "e", 14)
    assert not shares.may_begin("e", False)
    assert most_held(shares, "b") == 2  # of the 6.9 that are its share
    assert shares.is_full


def test_who_has_saved_up_may_take_a_few_times_its_share() -> None:
    shares = shares_of(num_places=100, reserve=99)
    for tenant in range(9):
        shares.came(str(tenant), 0.0)
    hold(shares, "b", 10)
    assert not shares.may_begin("b", False)
    assert most_held(shares, "b", has_saved=True) == 10 * BURST_SHARES - 10


def test_a_tenant_without_a_place_may_always_take_one() -> None:
    shares = shares_of(num_places=2, reserve=1)
    for tenant in range(50):
        shares.came(str(tenant), 0.0)
    hold(shares, "0", 1)
    assert not shares.may_begin("0", False)
    assert shares.may_begin("1", False)


def test_the_reserve_is_free_for_all_once_the_others_are_not_active() -> None:
    shares = shares_of()
    hold(shares, "b", 1, now=0.0)
    hold(shares, "flood", 13, now=5.0)
    shares.end("b", 1, now=6.0)
    hold(shares, "flood", 1, now=6.0)
    assert not shares.may_begin("flood", False)
    shares.forget(6.0 + ACTIVE_S - 0.1)
    assert not shares.may_begin("flood", False)
    shares.forget(6.0 + ACTIVE_S)
    assert shares.may_begin("flood", False)


def test_who_waits_or_has_a_place_stays_active_and_the_next_change_is_later() -> None:
    shares = shares_of()
    shares.came("waits", 0.0)
    hold(shares, "has", 1)
    hold(shares, "flood", 13)
    shares.forget(100.0)
    assert not shares.may_begin("flood", False)
    assert shares.next_change(100.0) == ACTIVE_S
    shares.left("waits", 101.0)
    shares.end("has", 1, 102.0)
    hold(shares, "flood", 1, 103.0)
    shares.forget(102.0 + ACTIVE_S)
    assert shares.may_begin("flood", False)


@given(st.data())
def test_counts_are_true_whoever_does_what(data: st.DataObject) -> None:
    shares = shares_of(num_places=6, reserve=1, c=2.5)
    waiting: Counter[str] = Counter()
    held: list[tuple[str, int]] = []
    now = 0.0
    for _ in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.sampled_from([0.0, 0.1, 4.0, 30.0]))
        action = data.draw(st.sampled_from(["come", "come", "begin", "begin", "leave", "end"]))
        tenant = data.draw(st.sampled_from("abc"))
        if action == "come":
            shares.came(tenant, now)
            waiting[tenant] += 1
        elif action == "begin" and waiting[tenant]:
            width = data.draw(st.integers(1, 3))
            shares.begin(tenant, width)
            waiting[tenant] -= 1
            held.append((tenant, width))
        elif action == "leave" and waiting[tenant]:
            shares.left(tenant, now)
            waiting[tenant] -= 1
        elif action == "end" and held:
            shares.end(*held.pop(data.draw(st.integers(0, len(held) - 1))), now)
        shares.forget(now)
        assert shares.num_held == sum(width for _, width in held)
        assert all(shares.may_begin(t, False) for t in "abc" if t not in dict(held))
    for tenant, width in held:
        shares.end(tenant, width, now)
    for tenant in waiting.elements():
        shares.left(tenant, now)
    shares.forget(now + ACTIVE_S)
    assert not shares._tenants
