"""Runs that go on from a checkpoint of another run."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column."""
    op.add_column("runs", sa.Column("resumed_from", sa.Uuid()))
