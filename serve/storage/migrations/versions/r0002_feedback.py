"""Feedback on answers, and the arm that gave an answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table and the column. A replica of the version before leaves the arm empty."""
    op.add_column(
        "ledger", sa.Column("arm", sa.String(64), server_default=sa.text("''"), nullable=False)
    )
    op.create_table(
        "feedback",
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("arm", sa.String(64), nullable=False),
        sa.Column("score_milli", sa.Integer(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("sealed_text", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_tenant_owner", "feedback", ["tenant", "owner"])
    op.create_index("ix_feedback_created_at_ms", "feedback", ["created_at_ms"])
