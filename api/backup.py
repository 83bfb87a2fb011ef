"""A ledger as one file, and a ledger out of such a file, on either kind of database.

The file is gzip of JSON lines. The first says what it is, then comes a line for each row,
`{"runs": {...}}`, and the last says how many there were: a file that was cut off is told from a
whole one. What follows from the runs, labels and sums, is not in it, but made anew.
"""

import gzip
import os
import zlib
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Engine, Table, func, insert, select
from sqlmodel import SQLModel

from api import migrate
from api.columns import undecorated
from api.database_urls import shown
from api.db import writing
from api.derived import DERIVED
from api.engine import snapshots_of
from api.tables import RUNS
from api.writing import Writing
from carbon.errors import SettingsError

HEAD, END = "backup", "end"
"""What the first and the last line are of, beside the tables."""

_Line = tuple[str, Any]

_TOGETHER = 500
# Thrice as quick as the default, and a tenth larger.
_COMPRESSION = 3

# How what JSON has no form for is read, by the type of its column.
_READ: dict[type, Callable[[Any], Any]] = {
    UUID: UUID,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    bytes: urlsafe_b64decode,
}


@dataclass(frozen=True)
class Copied:
    """How many rows of each table were copied."""

    rows: Mapping[str, int]

    def __str__(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in self.rows.items() if count) or (
            "nothing, for nothing is in it"
        )


def back_up(engine: Engine, path: Path) -> Copied:
    """Write one state of the ledger into a new file, while servers go on.

    The file has its name once it is whole and on the disk.

    Raises:
        SettingsError: there is such a file already, or it cannot be written.
    """
    if path.exists():
        raise SettingsError(f"{path} is there already; name a file that is not")
    rows: dict[str, int] = {}
    with _whole_or_none(path) as file, snapshots_of(engine).begin() as connection:
        file.write(_line({HEAD: _head()}))
        for table in _tables():
            rows[table.name] = _copy_out(connection, table, file)
        file.write(_line({END: rows}))
    return Copied(rows)


def restore(engine: Engine, path: Path) -> Copied:
    """Fill an empty database from a file of `back_up`: all of it or nothing.

    Raises:
        SettingsError: the database holds something, or the file is none of these, is damaged, or
            is of another version.
    """
    lines = _lines_of(path)
    _require_fitting(path, next(lines, None))
    migrate.upgrade(engine)
    with writing(engine) as connection:
        _require_empty(connection, shown(engine.url))
        return Copied(_copy_in(connection, path, lines))


def _tables() -> list[Table]:
    """Return the tables that nothing else follows from, each after those that it refers to."""
    return [table for table in SQLModel.metadata.sorted_tables if table not in DERIVED]


def _head() -> dict[str, Any]:
    return {
        "schema": migrate.head(),
        "version": version("carbon-ledger"),
        "made_at": datetime.now(UTC),
    }


def _line(values: Any) -> bytes:
    return to_json(values, bytes_mode="base64") + b"\n"


def _copy_out(connection: Connection, table: Table, file: gzip.GzipFile) -> int:
    count = 0
    query = select(table).order_by(*table.primary_key)
    result = connection.execution_options(yield_per=_TOGETHER).execute(query)
    for part in result.mappings().partitions():
        file.write(b"".join(_line({table.name: dict(row)}) for row in part))
        count += len(part)
    return count


def _copy_in(connection: Connection, path: Path, lines: Iterator[_Line]) -> dict[str, int]:
    tables = {table.name: table for table in _tables()}
    rows = dict.fromkeys(tables, 0)
    for name, own in groupby(lines, key=itemgetter(0)):
        if name == END:
            ((_, counted),) = own
            if counted != rows:
                raise SettingsError(f"{path} is damaged: it has {rows}, but says {counted}")
            _count_on(connection)
            return rows
        table = tables[name]
        read = {
            column.name: _READ.get(undecorated(column.type).python_type) for column in table.columns
        }
        while part := list(islice(own, _TOGETHER)):
            _insert(connection, table, [_values(row, read) for _, row in part])
            rows[name] += len(part)
    raise SettingsError(f"{path} ends too early: its last line is missing; nothing was restored")


def _count_on(connection: Connection) -> None:
    """Let the keys that the database counts up go on after those that were restored."""
    if connection.dialect.name == "sqlite":  # It looks for the highest one each time.
        return
    for table in _tables():
        column = table.autoincrement_column
        if column is not None:
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(select(func.setval(sequence, func.max(column))))


def _values(row: dict[str, Any], read: Mapping[str, Callable[[Any], Any] | None]) -> dict[str, Any]:
    return {
        name: value if value is None or (reader := read[name]) is None else reader(value)
        for name, value in row.items()
    }


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if table is not RUNS:
        connection.execute(insert(table), rows)
        return
    runs = Writing(connection)
    runs.insert(rows)
    runs.finish()


def _require_fitting(path: Path, first: _Line | None) -> None:
    name, head = first or ("", {})
    if name != HEAD:
        raise SettingsError(f"{path} is no backup of a ledger: it does not begin like one")
    if head["schema"] != migrate.head():
        raise SettingsError(
            f"{path} was made by carbon-ledger {head['version']}, of a ledger with schema "
            f"{head['schema']}, and this version works with {migrate.head()}; restore it with "
            f"`pip install carbon-ledger=={head['version']}`, then bring the ledger here with "
            "`carbon db upgrade`"
        )


def _require_empty(connection: Connection, ledger: str) -> None:
    for table in _tables():
        if connection.execute(select(table.primary_key.columns[0]).limit(1)).first():
            raise SettingsError(
                f"{ledger} is not empty: it has {table.name}; restore into an empty database"
            )


@contextmanager
def _whole_or_none(path: Path) -> Iterator[gzip.GzipFile]:
    """Give a file to write that gets its name once all of it is on the disk."""
    partial = path.with_name(f"{path.name}.part")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as raw:
                with gzip.GzipFile(path.name, "wb", _COMPRESSION, raw) as file:
                    yield file
                raw.flush()
                os.fsync(raw.fileno())
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error}") from error


def _lines_of(path: Path) -> Iterator[_Line]:
    """Yield of each line what it is of and what it says."""
    try:
        with gzip.open(path) as file:
            for text in file:
                ((name, values),) = from_json(text).items()
                yield name, values
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise SettingsError(f"{path} is no backup, or damaged: {error}") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    except (ValueError, AttributeError) as error:
        raise SettingsError(f"{path} is no backup of a ledger: {error}") from error
