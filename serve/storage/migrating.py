"""Bringing the tables up to date, at a start or by ``storage migrate``.

Replicas that start together take turns, by the lock of all writers: the first one migrates, and the
others find it done. A role that may not make tables can serve all the same once somebody else has
migrated, for a database that is up to date is only read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from serve.errors import StartupError
from serve.storage.engines import opened, reason_of
from serve.storage.places import Place, unhurried

VERSION_TABLE = "intramural_version"
"""With one row, the revision: a name that no other program's Alembic has in the same database."""
_FOLDER = Path(__file__).with_name("migrations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """Revisions of the tables before and after; ``before`` is None of an empty database."""

    before: str | None
    after: str


def newest() -> str:
    """The revision that this version of the program works with."""
    return str(_scripts().get_current_head())


def revision_of(connection: Connection) -> str | None:
    """The database's revision; None where it has no tables of ours."""
    options = {"version_table": VERSION_TABLE}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def is_made(place: Place) -> bool:
    """Whether the database has tables of ours, of whatever revision.

    Raises:
        StartupError: the database cannot be used.
    """
    with opened(place, is_reader=True) as engine, engine.connect() as connection:
        return revision_of(connection) is not None


def migrate(place: Place) -> Migration:
    """Bring the tables up to date; they are made where there are none.

    Raises:
        StartupError: the database cannot be used, may not be changed by this role, or is newer.
    """
    place = unhurried(place)
    with opened(place, is_reader=True) as engine, engine.connect() as connection:
        before = revision_of(connection)
    if before == newest():
        return Migration(before=before, after=before)
    with opened(place) as engine, _explained(place), engine.begin() as connection:
        before = revision_of(connection)  # another replica may have been faster
        _refuse_newer(place, before)
        command.upgrade(_config(connection), "head")
    return Migration(before=before, after=newest())


@contextmanager
def _explained(place: Place) -> Iterator[None]:
    try:
        yield
    except ProgrammingError as error:
        raise StartupError(
            f"{place} cannot be brought to revision {newest()}: {reason_of(error)}. Run "
            "`python -m serve storage migrate` with a role that may make tables in it."
        ) from None


def _refuse_newer(place: Place, revision: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise StartupError(
            f"{place} is of revision {revision}, which a newer version of this program made; this "
            f"one knows revisions up to {newest()}. Start that version, or restore a backup "
            "that was made before it."
        )


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(_FOLDER)


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
