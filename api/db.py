"""The database: opening it, and what it says when it cannot do what was asked."""

import logging
import sqlite3
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic_core import from_json, to_json
from sqlalchemy import URL, Connection, Engine, create_engine, delete, event, false, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlmodel import SQLModel

from api.problems import ProblemError
from api.tables import RUNS
from api.upgrade import add_missing_columns
from carbon.errors import SettingsError

logger = logging.getLogger("api")

# How long a writer waits for another process's transaction before it says that the file is locked.
_BUSY_TIMEOUT_S = 5.0
_RETRY_AFTER_S = 5

# One for each thread that Starlette answers requests in.
_CONNECTIONS = 40

_WAY_OUT = "name another with --database or CARBON_DATABASE_URL"


def open_database(url_text: str) -> Engine:
    """Connect, create what tables and columns are missing, make sure the ledger can be written.

    Args:
        url_text: an SQLAlchemy URL. The directory of a SQLite file is created.

    Raises:
        SettingsError: a database that cannot be used as the ledger.
    """
    try:
        url = make_url(url_text)
    except ArgumentError as error:
        raise SettingsError(
            f"{url_text!r} is not a database URL such as sqlite:////var/lib/ledger.db; {_WAY_OUT}"
        ) from error
    shown = url.render_as_string()
    try:
        engine = _engine(url)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise SettingsError(
            f"the driver of {shown} is not installed ({error}); install it, or {_WAY_OUT}"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"the directory of {shown} cannot be made: {error}; {_WAY_OUT}"
        ) from error
    try:
        with engine.begin() as connection:
            SQLModel.metadata.create_all(connection)
            add_missing_columns(connection, shown)
            # Removes nothing, but only where something could be removed.
            connection.execute(delete(RUNS).where(false()))
    except DBAPIError as error:
        engine.dispose()
        raise SettingsError(f"{shown} cannot be the ledger: {error.orig}; {_WAY_OUT}") from error
    if _is_plain_file(url):
        _guard(engine, Path(str(url.database)).absolute())
    return engine


def _engine(url: URL) -> Engine:
    options: dict[str, Any] = {
        "json_serializer": _json_text,
        "json_deserializer": from_json,
    }
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, **options)
    if url.database in (None, "", ":memory:"):
        raise SettingsError(
            f"{url.render_as_string()} would forget every run when the server stops; {_WAY_OUT}"
        )
    if _is_plain_file(url):
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    if "timeout" not in url.query:
        options["connect_args"] = {"timeout": _BUSY_TIMEOUT_S}
    engine = create_engine(url, pool_size=_CONNECTIONS, **options)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _is_plain_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and not str(url.database).startswith("file:")


def _guard(engine: Engine, path: Path) -> None:
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


def _json_text(value: Any) -> str:
    return to_json(value).decode()


def _configure_sqlite(connection: DBAPIConnection, _record: object) -> None:
    # The driver would begin transactions before writes only, so that two reads of one request
    # could see two states of the ledger; `_begin_sqlite` begins every one instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    # WAL: readers and the writer do not wait for each other. FULL: what is committed stays
    # committed through a power failure, which WAL with NORMAL does not promise
    # (https://www.sqlite.org/pragma.html#pragma_synchronous).
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


async def _engine_of(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


Database = Annotated[Engine, Depends(_engine_of)]
"""The engine of the app that answers the request."""


def outage(error: DBAPIError | PoolTimeoutError) -> ProblemError:
    """Say why the database could not do what was asked, as a problem that may pass.

    SQLite's result codes: https://www.sqlite.org/rescode.html. PostgreSQL's:
    https://www.postgresql.org/docs/current/errcodes-appendix.html.
    """
    if isinstance(error, PoolTimeoutError):
        return _later("every connection to the database is in use")
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        # An extended code holds the primary one in its low byte. Errors of the module itself
        # have none.
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return _later("the ledger is locked by another process that writes to it")
        if code == sqlite3.SQLITE_FULL:
            return _full(cause)
        if code == sqlite3.SQLITE_READONLY:
            return _read_only(cause)
        reason = str(cause)
    else:
        state = str(getattr(cause, "sqlstate", None) or "")
        if state in ("40001", "40P01", "55P03"):
            return _later("another transaction was in the way")
        if state == "53100":
            return _full(cause)
        if state == "25006":
            return _read_only(cause)
        # The driver's text names hosts and users, and anybody may ask for /healthz.
        reason = "the server's log says why"
    logger.error("the database does not answer: %s", error)
    return ProblemError(503, f"the database does not answer: {reason}")


def _later(reason: str) -> ProblemError:
    return ProblemError(
        503,
        f"{reason}; nothing was stored, ask again in {_RETRY_AFTER_S} s",
        headers={"Retry-After": str(_RETRY_AFTER_S)},
    )


def _full(cause: object) -> ProblemError:
    return ProblemError(
        507, f"the ledger's disk is full ({cause}); nothing was stored, make room and ask again"
    )


def _read_only(cause: object) -> ProblemError:
    return ProblemError(
        503,
        f"the ledger is read-only ({cause}); nothing was stored, make the database writable for "
        "the server and ask again",
    )
