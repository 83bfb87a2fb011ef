"""Alembic's entry point: run the steps in the transaction that `api.migrate` has begun."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.types import TypeDecorator
from sqlmodel import SQLModel


def plain_type(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Write a column's type as the database's own: a step outlives the classes of its day."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    render_item=plain_type,
)
with context.begin_transaction():
    context.run_migrations()
