"""Runs that wait for their labels."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table; the runs that are there have their labels."""
    run_id = sa.Column("run_id", sa.Uuid(), primary_key=True)
    op.create_table("unlabelled", run_id, sqlite_with_rowid=False)
