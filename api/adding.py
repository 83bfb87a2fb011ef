"""Adding to rows of sums with one statement, as each database takes it fastest."""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, Dialect, Table, case, or_

from api.binding import Makers, bound, makers_of
from api.sums import COLUMNS, EXTREMES
from api.upserts import INSERT

Row = tuple[Any, ...]


def add(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Add to each row that is there and make the others, in the order in which they come.

    Args:
        connection: in a transaction that writes from its beginning.
        table: of sums; see `api.tables`.
        rows: what is added, in the order of the table's columns: the key, the sums and the
            extremes; no key twice.
    """
    if not rows:
        return
    # Not through `execute`: binding a row's 50 values one by one takes longer than adding them.
    if connection.dialect.name == "sqlite":
        statement, makers = _for_sqlite(connection.dialect, table)
        connection.exec_driver_sql(statement, [bound(row, makers) for row in rows])
    else:
        statement, names = _for_postgres(connection.dialect, table)
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        connection.exec_driver_sql(statement, (to_json(objects).decode(),))


@cache
def _for_sqlite(dialect: Dialect, table: Table) -> tuple[str, Makers]:
    """Return the statement, and what makes a row's values what it takes."""
    # The moments and days of a transaction's rows are few, and making texts of them takes its time.
    makers = [(place, lru_cache(1000)(make)) for place, make in makers_of(dialect, table.columns)]
    return str(_upsert(dialect, table).compile(dialect=dialect)), makers


@cache
def _for_postgres(dialect: Dialect, table: Table) -> tuple[str, Sequence[str]]:
    """Return the statement, and the names of a row's values in the objects that it takes."""
    names = [str(column.name) for column in table.columns]  # SQLAlchemy's own are slow.
    text = str(_upsert(dialect, table).compile(dialect=dialect))
    # Both sides are in the order of the table's columns, so that need not be told.
    statement = (
        f"INSERT INTO {table.name} "
        f"SELECT * FROM json_populate_recordset(NULL::{table.name}, %s::json) "
        + text[text.index("ON CONFLICT") :]
    )
    return statement, names


def _upsert(dialect: Dialect, table: Table) -> Any:
    insert = INSERT[dialect.name](table)
    new = insert.excluded
    changed: dict[str, Any] = {name: table.c[name] + new[name] for name in COLUMNS}
    for name, (_, choose) in EXTREMES.items():
        held, given = table.c[name], new[name]
        is_further = given < held if choose is min else given > held
        changed[name] = case((or_(held.is_(None), is_further), given), else_=held)
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)
