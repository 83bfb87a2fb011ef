"""Runs, shares and series.

A ledger from before there were migrations holds some of it: that is kept, and what it lacks is
added.
"""

import sqlalchemy as sa
from alembic import op

from carbon.errors import SettingsError

revision = "0001"
down_revision = None

_metadata = sa.MetaData()

sa.Table(
    "runs",
    _metadata,
    sa.Column("project", sa.String(), nullable=False),
    sa.Column("study", sa.String()),
    sa.Column("name", sa.String()),
    sa.Column("strategy", sa.String()),
    sa.Column("country_iso_code", sa.String()),
    sa.Column("region", sa.String()),
    sa.Column("intensity_g_per_kwh", sa.Float()),
    sa.Column("intensity_source", sa.String()),
    sa.Column("intensity_year", sa.Integer()),
    sa.Column("pue", sa.Float(), nullable=False),
    sa.Column("energy_kwh", sa.BigInteger()),
    sa.Column("gpu_energy_kwh", sa.BigInteger()),
    sa.Column("cpu_energy_kwh", sa.BigInteger()),
    sa.Column("ram_energy_kwh", sa.BigInteger()),
    sa.Column("gpu_energy_method", sa.String()),
    sa.Column("cpu_energy_method", sa.String()),
    sa.Column("ram_energy_method", sa.String()),
    sa.Column("gpu_energy_uncertainty", sa.Float()),
    sa.Column("cpu_energy_uncertainty", sa.Float()),
    sa.Column("ram_energy_uncertainty", sa.Float()),
    sa.Column("energy_uncertainty", sa.Float()),
    sa.Column("idle_energy_kwh", sa.BigInteger()),
    sa.Column("schema_version", sa.Integer(), nullable=False),
    sa.Column("run_id", sa.Uuid(), primary_key=True),
    sa.Column("seq", sa.Integer(), nullable=False),
    sa.Column("status", sa.String(), nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.Column("duration_s", sa.BigInteger(), nullable=False),
    sa.Column("world_size", sa.Integer(), nullable=False),
    sa.Column("n_nodes", sa.Integer(), nullable=False),
    sa.Column("attempts", sa.Integer(), nullable=False),
    sa.Column("emissions_kg", sa.BigInteger()),
    sa.Column("tags", sa.JSON(), nullable=False),
    sa.Column("config", sa.JSON(), nullable=False),
    sa.Column("metrics", sa.JSON(), nullable=False),
    sa.Column("software", sa.JSON(), nullable=False),
    sa.Column("git_commit", sa.String()),
    sa.Column("live_interval_s", sa.Float()),
    sa.Column("nodes", sa.JSON(), nullable=False),
    sa.Column("epochs", sa.JSON(), nullable=False),
    sa.Column("heard_at", sa.DateTime(timezone=True)),
    sa.Column("is_merged", sa.Boolean()),
    sa.Index("runs_by_time", "started_at", "run_id"),
    sa.Index("runs_by_project", "project", "started_at", "run_id"),
    sa.Index("runs_by_study", "study", "started_at", "run_id"),
    sa.Index("runs_by_strategy", "strategy", "started_at", "run_id"),
    sa.Index("runs_by_status", "status", "started_at", "run_id"),
)
sa.Table(
    "shares",
    _metadata,
    sa.Column("run_id", sa.Uuid(), primary_key=True),
    sa.Column("reporter", sa.String(), primary_key=True),
    sa.Column("seq", sa.Integer(), nullable=False),
    sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("live_interval_s", sa.Float()),
    sa.Column("is_lost", sa.Boolean(), nullable=False),
    sa.Column("report", sa.JSON(), nullable=False),
    sa.Index("shares_by_interval", "live_interval_s"),
)
sa.Table(
    "series",
    _metadata,
    sa.Column(
        "run_id", sa.Uuid(), sa.ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("node", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("device_uuid", sa.String(), primary_key=True),
    sa.Column("packed", sa.LargeBinary(), nullable=False),
)


def upgrade() -> None:
    """Add the columns that tables from before lack, and make the tables that are not there.

    Raises:
        SettingsError: a column that cannot be empty is missing, so older runs would be wrong.
    """
    bind = op.get_bind()
    inspector = sa.inspect(bind)
    for table in _metadata.sorted_tables:
        if inspector.has_table(table.name):
            _complete(table, {column["name"] for column in inspector.get_columns(table.name)})
    _metadata.create_all(bind)


def _complete(table: sa.Table, held: set[str]) -> None:
    missing = [column for column in table.columns if column.name not in held]
    needed = [column.name for column in missing if not column.nullable]
    if needed:
        raise SettingsError(
            "the database is no ledger that this version can take over: its table "
            f"{table.name} lacks {', '.join(needed)}; start the version that made it, or name "
            "another with --database or CARBON_DATABASE_URL and deliver the runs to it"
        )
    for column in missing:
        op.add_column(table.name, column)
