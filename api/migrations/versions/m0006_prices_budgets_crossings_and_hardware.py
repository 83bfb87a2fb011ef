"""Prices, budgets, crossings and hardware."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "prices",
        sa.Column("project", sa.String(), primary_key=True),
        sa.Column("valid_from", sa.Date(), primary_key=True),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("price_per_kwh", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String()),
    )
    op.create_table(
        "budgets",
        sa.Column("project", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("quantity", sa.String(), nullable=False),
        sa.Column("limit", sa.Float(), nullable=False),
        sa.Column("currency", sa.String()),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("from_day", sa.Date()),
        sa.Column("until_day", sa.Date()),
        sa.Column("webhook_url", sa.String()),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "crossings",
        sa.Column("project", sa.String(), primary_key=True),
        sa.Column("budget", sa.String(), primary_key=True),
        sa.Column("from_day", sa.Date(), primary_key=True),
        sa.Column("crossed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("notified_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.String()),
    )
    op.create_table(
        "hardware",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("folded", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("embodied_kg", sa.Float(), nullable=False),
        sa.Column("lifetime_h", sa.Float(), nullable=False),
        sa.Column("resource_share", sa.Float(), nullable=False),
        sa.Column("source", sa.String()),
        sa.Column("year", sa.Integer()),
    )
