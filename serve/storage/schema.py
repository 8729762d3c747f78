"""The tables. Migrations (migrations/versions) lead to exactly these, which a test proves.

Every row that is of somebody names the tenant and the owner. Times are Unix milliseconds in UTC, so
that SQLite and PostgreSQL hold and compare them alike; amounts are integers: tokens, and money in
millionths of its unit.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("owner", String(128), nullable=False),
    Column("entry", Text, nullable=False),  # the key file's JSON object of this key, no secret
    Column("changed_at_ms", BigInteger, nullable=False),
    Index(None, "tenant", "owner"),
)

accounts = Table(
    "accounts",  # account_rows.py says what the one with no name is
    metadata,
    Column("account", String(512), primary_key=True),
    Column("settled", BigInteger, nullable=False),  # rounded down
    Column("part", BigInteger, nullable=False, server_default="0"),  # above it, times leak_ms
    Column("leaked_at_ms", BigInteger, nullable=False),
    Column("forget_at_ms", BigInteger, nullable=False, index=True),
)

reservations = Table(
    "reservations",
    metadata,
    Column("reservation_id", String(64), primary_key=True),
    Column("account", String(512), primary_key=True, index=True),
    Column("amount", BigInteger, nullable=False),
    Column("ends_at_ms", BigInteger, nullable=False, index=True),
    Column("is_settled", Boolean, nullable=False),  # kept for a while: a second call does nothing
)

ledger = Table(
    "ledger",
    metadata,
    Column("request_id", String(64), primary_key=True),
    Column("finished_at_ms", BigInteger, nullable=False, index=True),
    Column("day", String(10), nullable=False),  # YYYY-MM-DD in the zone of the budgets
    Column("tenant", String(64), nullable=False),
    Column("owner", String(128), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("model", String(256), nullable=False),
    Column("route", String(128), nullable=False),
    Column("outcome", String(64), nullable=False),  # ledger.py has the list
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),  # millionths of the currency's unit
    Column("currency", String(3), nullable=False),  # ISO 4217, or empty without prices
    Column(
        "arm", String(64), nullable=False, server_default=text("''")
    ),  # of an experiment, or empty
    Index(None, "tenant", "owner", "day"),
    Index(None, "day"),
)

alerts = Table(
    "alerts",  # an outbox: written with what caused it, sent later, kept until it was taken
    metadata,
    Column("alert_id", String(64), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("owner", String(128), nullable=False),
    Column("subject", String(512), nullable=False),  # account and threshold: each is told once
    Column("payload", Text, nullable=False),  # JSON of numbers and ids
    Column("created_at_ms", BigInteger, nullable=False),
    Column("next_try_at_ms", BigInteger, nullable=False, index=True),
    Column("num_tries", Integer, nullable=False),
    Column("sent_at_ms", BigInteger, nullable=True),
    UniqueConstraint("subject"),
)

feedback = Table(
    "feedback",  # on an answer, which is a row of the ledger
    metadata,
    Column("request_id", String(64), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("owner", String(128), nullable=False),
    Column("key_id", String(64), nullable=False),  # of who gave it
    Column("model", String(256), nullable=False),
    Column("arm", String(64), nullable=False),
    Column("score_milli", Integer, nullable=False),  # thousandths, from -1000 to 1000
    Column("labels", Text, nullable=False),  # a JSON array of texts
    Column("sealed_text", Text, nullable=False),  # base64 of ciphertext, or empty
    Column("created_at_ms", BigInteger, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    Index(None, "tenant", "owner"),
    Index(None, "created_at_ms"),
)
