"""Tenants never share a salt; a client may split its own share, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.pipeline.cache_salt import CacheSalts

SALTS = CacheSalts(b"k" * 32)
names = st.text(max_size=20)
pairs = st.tuples(names, st.none() | names)


def test_the_same_tenant_gets_the_same_salt() -> None:
    assert SALTS.of("a") == SALTS.of("a")
    assert SALTS.of("a", "x") == SALTS.of("a", "x")
    assert SALTS.of("a")


def test_a_client_splits_its_own_share() -> None:
    assert len({SALTS.of("a"), SALTS.of("a", "x"), SALTS.of("a", "y"), SALTS.of("a", "")}) == 4


def test_another_process_has_other_salts() -> None:
    assert CacheSalts().of("a") != CacheSalts().of("a")


@given(pairs, pairs)
def test_no_two_tenants_meet(one: tuple[str, str | None], other: tuple[str, str | None]) -> None:
    assert (SALTS.of(*one) == SALTS.of(*other)) == (one == other)
