"""Corrections, audit log and factor tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

FILLED_AFTERWARDS = ("sums",)
"""Sums have a quantity more; `api.derived` makes them anew at the end of an upgrade."""

_SUMS = ("totals", "days")

# SQLite counts a key up by itself only where its type is INTEGER.
_COUNTED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, and the columns of runs that go with them."""
    op.create_table(
        "audit",
        sa.Column("id", _COUNTED, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("project", sa.String()),
        sa.Column("run_id", sa.Uuid()),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("request_id", sa.String()),
    )
    op.create_index("audit_by_project", "audit", ["project", "id"])
    op.create_index("audit_by_run", "audit", ["run_id", "id"])
    op.create_index("audit_by_time", "audit", ["at"])
    op.create_table(
        "costings",
        sa.Column("id", _COUNTED, primary_key=True),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("factor_table", sa.String()),
        sa.Column("country_iso_code", sa.String()),
        sa.Column("region", sa.String()),
        sa.Column("intensity_g_per_kwh", sa.Float()),
        sa.Column("intensity_source", sa.String()),
        sa.Column("intensity_year", sa.Integer()),
        *_market(),
        sa.Column("pue", sa.Float(), nullable=False),
        sa.Column("energy_kwh", sa.BigInteger()),
        sa.Column("emissions_kg", sa.BigInteger()),
    )
    op.create_index("costings_by_run", "costings", ["run_id", "id"])
    op.create_table(
        "factor_tables",
        sa.Column("version", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("year", sa.Integer()),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
    )
    op.create_table(
        "factors",
        sa.Column("version", sa.String(), primary_key=True),
        sa.Column("country_iso_code", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("is_alias", sa.Boolean(), nullable=False),
        sa.Column("region", sa.String()),
        sa.Column("intensity_g_per_kwh", sa.Float(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("year", sa.Integer()),
    )
    op.add_column("runs", sa.Column("factor_table", sa.String()))
    op.add_column("runs", sa.Column("corrections", sa.JSON()))
    op.add_column("runs", sa.Column("delivered", sa.JSON()))
    for column in _market():
        op.add_column("runs", column)
    for table in _SUMS:
        # They are made anew, and without rows a column can be added that is never empty.
        op.execute(sa.delete(sa.table(table)))
        for part in ("known", "quotient", "remainder"):
            number = sa.Column(f"market_emissions_kg_{part}", sa.BigInteger(), nullable=False)
            op.add_column(table, number)


def _market() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("market_intensity_g_per_kwh", sa.Float()),
        sa.Column("market_source", sa.String()),
        sa.Column("market_table", sa.String()),
        sa.Column("market_emissions_kg", sa.BigInteger()),
    )
