"""Sums of months over all projects."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_COUNTED = (
    "duration_s",
    "energy_kwh",
    "gpu_energy_kwh",
    "cpu_energy_kwh",
    "ram_energy_kwh",
    "idle_energy_kwh",
    "emissions_kg",
    "market_emissions_kg",
)
_SUMMED = (
    *_COUNTED,
    "grid_energy_kwh",
    "emitting_energy_kwh",
    "energy_error_kwh",
    "uncertain_energy_kwh",
    "emissions_error_kg",
    "uncertain_emissions_kg",
)
_NUMBERS = (
    *(f"runs_{status}" for status in ("running", "completed", "failed", "interrupted")),
    *(f"{name}_known" for name in _COUNTED),
    *(f"{name}_{part}" for name in _SUMMED for part in ("quotient", "remainder")),
)


_MONTH_OF_A_DAY = {
    "sqlite": "date(day, 'start of month')",
    "postgresql": "CAST(date_trunc('month', CAST(day AS TIMESTAMP)) AS DATE)",
}


def upgrade() -> None:
    """Make the tables; every month that has runs has a version, and its sums are still to make."""
    op.create_table(
        "month_versions",
        sa.Column("month", sa.Date(), primary_key=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "months_made",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("month", sa.Date(), primary_key=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "month_sums",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("beginning", sa.Date(), primary_key=True),
        sa.Column("value", sa.String(), primary_key=True),
        sa.Column("second_value", sa.String(), primary_key=True),
        *(sa.Column(number, sa.BigInteger(), nullable=False) for number in _NUMBERS),
        sa.Column("first_run_at", sa.DateTime(timezone=True)),
        sa.Column("last_run_at", sa.DateTime(timezone=True)),
        sa.Column("lowest_intensity", sa.Float()),
        sa.Column("highest_intensity", sa.Float()),
        sqlite_with_rowid=False,
    )
    month = _MONTH_OF_A_DAY[op.get_bind().dialect.name]
    op.execute(f"INSERT INTO month_versions (month, version) SELECT DISTINCT {month}, 1 FROM days")
