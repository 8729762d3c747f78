"""Names of subjects: no two read alike, whatever tenants and owners are called."""

from __future__ import annotations

from itertools import product

from serve.governance.audit.content.subjects import key_subject, owner_subject, tenant_prefix

ODD = ["a", "a/", "/a", "a/b", "b", "a%2Fb", "key:a", "ä", "", ":", " "]


def test_each_subject_has_a_name_of_its_own():
    owners = [owner_subject(tenant, owner) for tenant, owner in product(ODD, ODD)]
    names = [*owners, *map(key_subject, ODD)]
    assert len(set(names)) == len(ODD) ** 2 + len(ODD)


def test_a_tenant_s_owners_begin_with_it_and_no_other_s_do():
    for tenant, other in product(ODD, ODD):
        is_own = owner_subject(other, "x").startswith(tenant_prefix(tenant))
        assert is_own == (tenant == other)


def test_keys_are_of_no_tenant():
    assert not any(
        key_subject(key).startswith(tenant_prefix(tenant)) for key, tenant in product(ODD, ODD)
    )
