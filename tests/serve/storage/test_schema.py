"""The tables: every row that is of somebody names whose it is, and amounts are whole numbers."""

from __future__ import annotations

import pytest
from sqlalchemy import BigInteger, Boolean, Integer, String, Table, Text

from serve.storage.counting.account_rules import MAX_ACCOUNT_CHARACTERS, MAX_ID_CHARACTERS
from serve.storage.schema import accounts, alerts, api_keys, ledger, metadata, reservations


@pytest.mark.parametrize("table", [api_keys, ledger, alerts], ids=lambda table: table.name)
def test_rows_of_somebody_name_the_tenant_and_the_owner(table: Table) -> None:
    assert not table.c.tenant.nullable
    assert not table.c.owner.nullable


def test_no_column_is_of_a_kind_that_the_two_databases_hold_differently() -> None:
    kinds = {type(column.type) for table in metadata.sorted_tables for column in table.columns}
    assert kinds <= {BigInteger, Integer, Boolean, String, Text}
    times = [
        column
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name.endswith("_ms")
    ]
    assert all(isinstance(column.type, BigInteger) for column in times)


def test_names_of_the_counters_fit_their_columns() -> None:
    assert accounts.c.account.type.length == MAX_ACCOUNT_CHARACTERS  # type: ignore[attr-defined]
    for column, most in (
        (reservations.c.account, MAX_ACCOUNT_CHARACTERS),
        (reservations.c.reservation_id, MAX_ID_CHARACTERS),
        (ledger.c.request_id, MAX_ID_CHARACTERS),
    ):
        assert column.type.length == most  # type: ignore[attr-defined]
