"""The ledger's database: opening it, and what it says when it cannot do what was asked."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine, delete, false
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api import migrate
from api.database_urls import shown
from api.engine import BEGIN, WAY_OUT, engine_of, file_of, guard, snapshots_of
from api.problems import ProblemError
from api.tables import RUNS
from carbon.errors import SettingsError

logger = logging.getLogger("api")

_RETRY_AFTER_S = 5


def open_database(url_text: str) -> Engine:
    """Connect, make the tables where there are none, make sure the ledger can be written.

    Args:
        url_text: an SQLAlchemy URL. The directory of a SQLite file is created.

    Raises:
        SettingsError: a database that cannot be used as the ledger, or whose schema is not the one
            this version works with; says what mends it.
    """
    engine = engine_of(url_text)
    try:
        migrate.make_or_check(engine)
        with engine.begin() as connection:
            # Removes nothing, but only where something could be removed.
            connection.execute(delete(RUNS).where(false()))
    except DBAPIError as error:
        engine.dispose()
        raise SettingsError(
            f"{shown(engine.url)} cannot be the ledger: {error.orig}; {WAY_OUT}"
        ) from error
    except SettingsError:
        engine.dispose()
        raise
    path = file_of(engine.url)
    if path is not None:
        guard(engine, path)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that reads what it then changes; it ends with the block.

    In SQLite a transaction that reads and then writes fails where another has written in between;
    this one waits for its turn at its beginning.
    """
    with engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
        yield connection


async def _engine_for(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return snapshots_of(engine) if request.method in ("GET", "HEAD") else engine


Database = Annotated[Engine, Depends(_engine_for)]
"""The engine of the app that answers the request; a GET's transactions see one state each."""


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
