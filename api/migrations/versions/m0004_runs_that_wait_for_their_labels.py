"""Runs that wait for their labels."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table; the runs that are there have their labels."""
    op.create_table("unlabelled", sa.Column("run_id", sa.Uuid(), primary_key=True))
