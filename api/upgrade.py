"""Bringing a ledger that an earlier version made up to date: columns it does not have yet."""

from sqlalchemy import Connection, Table, inspect
from sqlalchemy.schema import CreateColumn


def add_new_columns(connection: Connection, table: Table) -> list[str]:
    """Add what `table` has and its table in the database has not; return the names.

    The runs that are there get NULL, "unknown", which is the truth about a quantity that was not
    recorded. A column that must have a value is therefore not one to add to a table in use.
    """
    held = {column["name"] for column in inspect(connection).get_columns(table.name)}
    missing = [column for column in table.columns if column.name not in held]
    quote = connection.dialect.identifier_preparer.format_table
    for column in missing:
        declared = CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {quote(table)} ADD COLUMN {declared}")
    return [column.name for column in missing]
