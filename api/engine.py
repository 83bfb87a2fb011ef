"""Connections to the ledger's database, SQLite or PostgreSQL, each set up so that it can be one."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError

from api.database_urls import shown, shown_text
from api.problems import ProblemError
from api.quick_reading import json_of
from carbon.errors import SettingsError

WAY_OUT = "name another with --database or CARBON_DATABASE_URL"

BEGIN = "sqlite_begin"
"""The execution option that says how SQLite begins a transaction."""

# How long a writer waits for another process's transaction before it says that the file is locked.
_BUSY_TIMEOUT_S = 5.0
_BUSY_PAUSE_S = 0.01

# How long a PostgreSQL server that says nothing is waited for.
_CONNECT_TIMEOUT_S = 5

# One for each thread that Starlette answers requests in.
_SQLITE_CONNECTIONS = 40

# At most this many for each worker: a PostgreSQL server left as it comes has room for 100.
_POSTGRES_KEPT = 5
_POSTGRES_MORE = 10

_POSTGRES = "postgresql+psycopg"


def engine_of(url_text: str) -> Engine:
    """Return an engine that is set up for the ledger; a SQLite file's directory is made.

    Args:
        url_text: an SQLAlchemy URL.

    Raises:
        SettingsError: what cannot be the URL of a ledger.
    """
    try:
        url = make_url(url_text)
    except (ArgumentError, ValueError) as error:
        raise SettingsError(
            f"{shown_text(url_text)!r} is not a database URL such as sqlite:////var/lib/ledger.db; "
            f"{WAY_OUT}"
        ) from error
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        return _sqlite(url)
    if url.drivername in ("postgresql", "postgres", _POSTGRES):
        return _postgres(url.set(drivername=_POSTGRES))
    named = shown(url)
    for driver, other in (("psycopg", _POSTGRES), ("pysqlite", "sqlite")):
        if url.drivername.partition("+")[0] == other.partition("+")[0]:
            raise SettingsError(
                f"{named} names another driver than {driver}; begin it with {other}:// or {WAY_OUT}"
            )
    raise SettingsError(f"{named} is neither a SQLite nor a PostgreSQL database; {WAY_OUT}")


def file_of(url: URL) -> Path | None:
    """Return the file of a SQLite ledger; of any other, and of SQLite's own file: URIs, None."""
    if url.get_backend_name() != "sqlite" or str(url.database).startswith("file:"):
        return None
    return Path(str(url.database)).absolute()


def snapshots_of(engine: Engine) -> Engine:
    """Return an engine whose transactions only read, each of them one state of the ledger.

    SQLite's always do. PostgreSQL's show with every statement what was committed until then, unless
    told otherwise.
    """
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def guard(engine: Engine, path: Path) -> None:
    """Refuse every transaction once the file was removed or replaced.

    An open file outlives its name: reports would be acknowledged, and gone with the server.
    """
    opened = _identity(path)

    def check(_connection: Connection) -> None:
        if _identity(path) != opened:
            raise ProblemError(
                503,
                f"the ledger's file {path.name} was removed or replaced while the server ran; "
                "nothing was stored, restart the server",
            )

    event.listen(engine, "begin", check, insert=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _sqlite(url: URL) -> Engine:
    named = shown(url)
    if url.database in (None, "", ":memory:"):
        raise SettingsError(f"{named} would forget every run when the server stops; {WAY_OUT}")
    path = file_of(url)
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"the directory of {named} cannot be made: {error}; {WAY_OUT}"
            ) from error
    engine = create_engine(
        url,
        connect_args={} if "timeout" in url.query else {"timeout": _BUSY_TIMEOUT_S},
        pool_size=_SQLITE_CONNECTIONS,
        json_serializer=json_of,
        json_deserializer=from_json,
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgres(url: URL) -> Engine:
    try:
        engine = create_engine(
            url,
            connect_args=(
                {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_TIMEOUT_S}
            ),
            # Two statements of one transaction look at what other writers did in between.
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            pool_size=_POSTGRES_KEPT,
            max_overflow=_POSTGRES_MORE,
            json_serializer=json_of,
            json_deserializer=from_json,
        )
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"the driver of {shown(url)} is not installed ({error}); run: "
            f"pip install 'carbon-ledger[postgres]', or {WAY_OUT}"
        ) from error
    event.listen(engine, "connect", _configure_postgres)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _record: object) -> None:
    # The driver would begin transactions before writes only, so that two reads of one request
    # could see two states of the ledger; `_begin_sqlite` begins every one instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    # WAL: readers and the writer do not wait for each other. FULL: what is committed stays
    # committed through a power failure, which WAL with NORMAL does not promise
    # (https://www.sqlite.org/pragma.html#pragma_synchronous).
    _use_wal(cursor)
    cursor.execute("PRAGMA synchronous = FULL")
    # Pages that change with every report reach the file once for many of them; 40 MB of log.
    cursor.execute("PRAGMA wal_autocheckpoint = 10000")
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """Turn the write-ahead log on, waiting for others who do so: SQLite itself does not wait."""
    timeout_s = cursor.execute("PRAGMA busy_timeout").fetchone()[0] / 1000
    give_up_s = time.monotonic() + timeout_s
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > give_up_s:
                raise
        time.sleep(_BUSY_PAUSE_S)


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))


def _configure_postgres(connection: DBAPIConnection, _record: object) -> None:
    # In a zone east of here the last hours of the year 9999 would be in the year 10000, which
    # Python does not have.
    cursor = connection.cursor()
    cursor.execute("SET TIME ZONE 'UTC'")
    cursor.close()
    connection.commit()
