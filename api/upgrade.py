"""A ledger that an earlier version made: what it lacks is added, or it is refused by name."""

from sqlalchemy import Connection, inspect
from sqlalchemy.schema import CreateColumn
from sqlmodel import SQLModel

from carbon.errors import SettingsError


def add_missing_columns(connection: Connection, shown: str) -> None:
    """Add the columns that the ledger's tables lack; what they hold of older runs is unknown.

    Args:
        connection: in a transaction; the tables themselves are there.
        shown: the database's URL, for the message.

    Raises:
        SettingsError: a column that cannot be empty is missing, so older runs would be wrong.
    """
    inspector = inspect(connection)
    quote = connection.dialect.identifier_preparer.format_table
    for table in SQLModel.metadata.sorted_tables:
        held = {column["name"] for column in inspector.get_columns(table.name)}
        missing = [column for column in table.columns if column.name not in held]
        needed = [column.name for column in missing if not column.nullable]
        if needed:
            raise SettingsError(
                f"{shown} was made by another version of carbon-ledger: its table {table.name} "
                f"lacks {', '.join(needed)}; start that version, or name another ledger with "
                "--database or CARBON_DATABASE_URL and deliver the runs to it"
            )
        for column in missing:
            definition = CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {quote(table)} ADD COLUMN {definition}")
