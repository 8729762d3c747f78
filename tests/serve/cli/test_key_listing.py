"""Keys as tables."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from serve.cli.key_listing import card_of, table_of
from tests.serve.governance.stored_keys import stored_key


def text_of(table: Table) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_row_for_each_key() -> None:
    keys = (
        stored_key("x", key_id="first"),
        stored_key("x", key_id="second", tenant="ward-3", name="[red]a", disabled=True),
    )
    shown = text_of(table_of(keys))
    for word in ("first", "its own", "never", "enabled", "second", "ward-3", "[red]a", "revoked"):
        assert word in shown


def test_a_line_for_each_fact() -> None:
    shown = text_of(card_of(stored_key("x", owner="an\x1bna", limits={"tokens_per_day": 5})))
    assert "tokens_per_day=5" in shown
    assert "an\\x1bna" in shown
    assert "old secret until" in shown
    empty = text_of(card_of(stored_key("x", scopes=frozenset())))
    assert "none" in empty
