"""Stores that replicas share: a database, and counters."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, field_validator


class StoresSection(BaseModel):
    """Settings of the stores. Their URLs hold passwords, and are read from files."""

    database_url_file: Path | None = Field(
        None,
        description="File of one line, postgresql://USER:PASSWORD@HOST/DATABASE?sslmode=..., of "
        "the database that replicas share; mode 600. Default: STATE_DIR/intramural.db, a file of "
        "this machine, where anything needs a database.",
    )
    cache_url_file: Path | None = Field(
        None,
        description="File of one line, valkey:// or redis:// (with TLS valkeys:// or rediss://), "
        "or unix://, of the server that counts for all replicas; mode 600. Default: each process "
        "counts for itself.",
    )

    @field_validator("database_url_file", "cache_url_file", mode="before")
    @classmethod
    def _are_files(cls, value: object) -> object:
        if "://" in str(value):
            raise ValueError(
                "it is a URL, and its password would be seen by everybody: write it into a file "
                "of mode 600, and name that"
            )
        return value
