"""Putting a row by its key, whether or not it is there."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Executable, Table, and_, delete, select
from sqlalchemy.dialects import postgresql, sqlite

# Both databases know the same ON CONFLICT clause, but SQLAlchemy has it in each dialect apart.
INSERT: dict[str, Callable[[Table], Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def put(connection: Connection, table: Table, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Insert a row or change the one with its key; return it as it was, None if it was not."""
    held = find(
        connection, table, **{column.name: row[column.name] for column in table.primary_key}
    )
    keys = list(table.primary_key)
    changed = {name: value for name, value in row.items() if name not in table.primary_key}
    statement = INSERT[connection.dialect.name](table).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))
    return held


def add(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless there is one with its key; return whether it was inserted.

    Of two transactions that do so at once, one waits for the other.
    """
    statement = INSERT[connection.dialect.name](table).values(row)
    inserted = connection.execute(statement.on_conflict_do_nothing())
    return inserted.rowcount == 1


def find(connection: Connection, table: Table, **key: Any) -> dict[str, Any] | None:
    """Return the row with a key, None if there is none."""
    return _first(connection, select(table).where(_is(table, key)))


def remove(connection: Connection, table: Table, **key: Any) -> dict[str, Any] | None:
    """Remove the row with a key; return it, None if there was none."""
    statement = delete(table).where(_is(table, key)).returning(*table.columns)
    return _first(connection, statement)


def _is(table: Table, row: Mapping[str, Any]) -> Any:
    return and_(*(column == row[column.name] for column in table.primary_key))


def _first(connection: Connection, statement: Executable) -> dict[str, Any] | None:
    row = connection.execute(statement).mappings().first()
    return None if row is None else dict(row)
