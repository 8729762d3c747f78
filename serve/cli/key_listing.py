"""Keys as tables: all of them, or one. No secret, and nothing that steers a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from models.rules.names import printable
from serve.governance.identity.key_entry import StoredKey

_ABSENT = {"preset": "none", "models": "all", "expires_at": "never", "rotated_at": "never"}


def table_of(keys: Iterable[StoredKey]) -> Table:
    """A row for each key."""
    table = Table()
    for heading in ("id", "name", "tenant", "created", "expires", "state"):
        table.add_column(heading, no_wrap=heading not in {"name", "tenant"}, overflow="fold")
    for key in keys:
        expires = key.expires_at.date().isoformat() if key.expires_at else "never"
        tenant = "its own" if key.tenant == key.key_id else key.tenant
        created = key.created_at.date().isoformat()
        # Not as markup, and without control characters: the file may be of another hand.
        cells = (key.key_id, key.name, tenant, created, expires)
        table.add_row(*(Text(printable(cell)) for cell in cells), key.state)
    return table


def card_of(key: StoredKey) -> Table:
    """A row for each fact of one key."""
    table = Table(show_header=False, box=None)
    for name, value in key.as_json().items():
        shown = _ABSENT.get(name, "-") if value in (None, "") else _shown(value)
        table.add_row(name.replace("_", " "), Text(printable(shown)))
    return table


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items()) or "none"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return str(value)
