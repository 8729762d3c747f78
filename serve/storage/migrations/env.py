"""Run by Alembic for each command, on the connection that serve/storage/migrating.py hands over."""

from __future__ import annotations

from alembic import context

from serve.storage import schema
from serve.storage.migrating import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # SQLite's too: our connections leave its transactions to us
    render_as_batch=True,
)
context.run_migrations()
