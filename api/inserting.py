"""Putting many new runs into the ledger with one statement, as each database takes them fastest."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Dialect

from api.binding import Makers, bound, makers_of
from api.tables import RUNS

Row = Mapping[str, Any]

_ROWS_OF_A_STATEMENT = 100
"""In SQLite: for each statement, not for each row, its driver waits for its turn in Python, which
is long while another thread parses a batch. All their values fit the 32,766 that SQLite takes."""


def insert_new(connection: Connection, rows: Sequence[Row]) -> set[UUID]:
    """Insert runs that this transaction did not find, and return which: another may have been
    faster, but in SQLite, where one writes at a time.

    Args:
        connection: in a transaction that writes from its beginning.
        rows: all with the same columns, in the order of their ids.
    """
    names = tuple(rows[0])
    makers = _makers(connection.dialect, names)
    values = [bound(row.values(), makers) for row in rows]
    if connection.dialect.name == "sqlite":
        for begin in range(0, len(values), _ROWS_OF_A_STATEMENT):
            together = values[begin : begin + _ROWS_OF_A_STATEMENT]
            statement = _for_sqlite(connection.dialect, names, len(together))
            connection.exec_driver_sql(statement, tuple(chain.from_iterable(together)))
        return {row["run_id"] for row in rows}
    # An array for each column, in binary form: PostgreSQL takes them apart in a fraction of the
    # time that it takes for rows one by one, and in less than for all of them as JSON.
    arrays = tuple(map(list, zip(*values, strict=True)))
    statement = _for_postgres(connection.dialect, names)
    return set(connection.exec_driver_sql(statement, arrays).scalars())


@cache
def _makers(dialect: Dialect, names: Sequence[str]) -> Makers:
    return makers_of(dialect, (RUNS.c[name] for name in names))


@cache
def _for_sqlite(dialect: Dialect, names: Sequence[str], rows: int) -> str:
    columns = _columns(dialect, names)
    places = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO {RUNS.name} ({columns}) VALUES {', '.join([places] * rows)}"


@cache
def _for_postgres(dialect: Dialect, names: Sequence[str]) -> str:
    columns = _columns(dialect, names)
    types = [RUNS.c[name].type.compile(dialect=dialect) for name in names]
    arrays = ", ".join(f"%b::{type_}[]" for type_ in types)
    return (
        f"INSERT INTO {RUNS.name} ({columns}) "
        f"SELECT {columns} FROM unnest({arrays}) AS given ({columns}) "
        "ON CONFLICT (run_id) DO NOTHING RETURNING run_id"
    )


def _columns(dialect: Dialect, names: Sequence[str]) -> str:
    return ", ".join(map(dialect.identifier_preparer.quote, names))
