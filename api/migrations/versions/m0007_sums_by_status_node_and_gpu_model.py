"""Sums by status, node and GPU model."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

FILLED_AFTERWARDS = ("labels", "sums")
"""What is new here follows from the runs, and so does who ran them, which labels say since then;
`api.derived` makes it at the end of an upgrade."""

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


def upgrade() -> None:
    """Make the tables; those of totals and days anew, as SQLite is to keep them by their keys."""
    for name in ("totals", "days"):
        op.drop_table(name)
    _sums(
        "totals",
        *_texts("project", "country_iso_code", "region", "intensity_source"),
        sa.Column("intensity_year", sa.Integer(), primary_key=True, autoincrement=False),
    )
    for name, *texts in (
        ("days", "strategy", "study", "user", "country_iso_code", "region", "status"),
        ("node_days", "hostname"),
        ("gpu_days", "gpu_model"),
    ):
        day = sa.Column("day", sa.Date(), primary_key=True)
        _sums(name, *_texts("project"), day, *_texts(*texts))


def _texts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String(), primary_key=True) for name in names]


def _sums(name: str, *keys: sa.Column[Any]) -> None:
    op.create_table(
        name,
        *keys,
        *(sa.Column(number, sa.BigInteger(), nullable=False) for number in _NUMBERS),
        sa.Column("first_run_at", sa.DateTime(timezone=True)),
        sa.Column("last_run_at", sa.DateTime(timezone=True)),
        sa.Column("lowest_intensity", sa.Float()),
        sa.Column("highest_intensity", sa.Float()),
        sqlite_with_rowid=False,
    )
