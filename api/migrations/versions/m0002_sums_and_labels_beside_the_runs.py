"""Sums and labels beside the runs."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

FILLED_AFTERWARDS = ("labels", "sums")
"""What is new here follows from the runs; `api.derived` makes it at the end of an upgrade."""

_COUNTED = (
    "duration_s",
    "energy_kwh",
    "gpu_energy_kwh",
    "cpu_energy_kwh",
    "ram_energy_kwh",
    "idle_energy_kwh",
    "emissions_kg",
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
    """Make the tables, and the columns and indexes that go with them."""
    place = ("country_iso_code", "region")
    _sums(
        "totals",
        *(sa.Column(name, sa.String(), primary_key=True) for name in ("project", *place)),
        sa.Column("intensity_source", sa.String(), primary_key=True),
        sa.Column("intensity_year", sa.Integer(), primary_key=True, autoincrement=False),
    )
    _sums(
        "days",
        sa.Column("project", sa.String(), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        *(
            sa.Column(name, sa.String(), primary_key=True)
            for name in ("strategy", "study", "user", *place)
        ),
    )
    op.create_table(
        "run_labels",
        sa.Column("label", sa.String(), primary_key=True),
        sa.Column("started_at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("run_id", sa.Uuid(), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.add_column("runs", sa.Column("user", sa.String()))
    op.add_column("runs", sa.Column("labels", sa.JSON()))
    # A ledger from before there were migrations may lack it.
    op.drop_index("runs_by_time", "runs", if_exists=True)
    for name, columns in {
        "runs_by_country": ["country_iso_code", "started_at", "run_id"],
        "runs_by_region": ["region", "started_at", "run_id"],
        "runs_by_energy": ["energy_kwh", "run_id", "project", "emissions_kg", "duration_s"],
        "runs_by_emissions": ["emissions_kg", "run_id", "project", "energy_kwh", "duration_s"],
        "runs_by_duration": ["duration_s", "run_id", "project", "energy_kwh", "emissions_kg"],
        "runs_by_time_with_amounts": [
            "started_at",
            "run_id",
            "energy_kwh",
            "emissions_kg",
            "duration_s",
        ],
    }.items():
        op.create_index(name, "runs", columns)


def _sums(name: str, *keys: sa.Column[Any]) -> None:
    op.create_table(
        name,
        *keys,
        *(sa.Column(number, sa.BigInteger(), nullable=False) for number in _NUMBERS),
        sa.Column("first_run_at", sa.DateTime(timezone=True)),
        sa.Column("last_run_at", sa.DateTime(timezone=True)),
        sa.Column("lowest_intensity", sa.Float()),
        sa.Column("highest_intensity", sa.Float()),
    )
