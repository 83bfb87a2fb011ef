"""Adding to rows of sums with one statement, as each database takes it fastest."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, Dialect, Table, case, or_

from api.sums import COLUMNS, EXTREMES
from api.upserts import INSERT

Row = Mapping[str, Any]


def add(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Add to each row that is there and make the others, in the order in which they come.

    Args:
        connection: in a transaction that writes from its beginning.
        table: of sums; see `api.tables`.
        rows: what is added, with the key, the sums and the extremes; no key twice.
    """
    if not rows:
        return
    # Not through `execute`: binding a row's 50 values one by one takes longer than adding them.
    if connection.dialect.name == "sqlite":
        statement, values_of = _for_sqlite(connection.dialect, table)
        connection.exec_driver_sql(statement, [values_of(row) for row in rows])
    else:
        statement = _for_postgres(connection.dialect, table)
        connection.exec_driver_sql(statement, (to_json(rows).decode(),))


@cache
def _for_sqlite(dialect: Dialect, table: Table) -> tuple[str, Callable[[Row], Any]]:
    """Return the statement, and what makes a row what it takes."""
    compiled = _upsert(dialect, table).compile(dialect=dialect)
    names = compiled.positiontup or []
    makers = [table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]

    def values_of(row: Row) -> tuple[Any, ...]:
        return tuple(
            row[name] if make is None else make(row[name])
            for name, make in zip(names, makers, strict=True)
        )

    return str(compiled), values_of


@cache
def _for_postgres(dialect: Dialect, table: Table) -> str:
    text = str(_upsert(dialect, table).compile(dialect=dialect))
    columns = ", ".join(map(dialect.identifier_preparer.quote, table.columns.keys()))
    return (
        f"INSERT INTO {table.name} ({columns}) "
        f"SELECT {columns} FROM json_populate_recordset(NULL::{table.name}, %s::json) "
        + text[text.index("ON CONFLICT") :]
    )


def _upsert(dialect: Dialect, table: Table) -> Any:
    insert = INSERT[dialect.name](table)
    new = insert.excluded
    changed: dict[str, Any] = {name: table.c[name] + new[name] for name in COLUMNS}
    for name, (_, choose) in EXTREMES.items():
        held, given = table.c[name], new[name]
        is_further = given < held if choose is min else given > held
        changed[name] = case((or_(held.is_(None), is_further), given), else_=held)
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)
