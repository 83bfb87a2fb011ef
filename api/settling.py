"""Having labels and sums of months follow the runs, by whoever needs them or has the time."""

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import Engine, exists, select
from sqlalchemy.exc import DBAPIError

from api import labels, months
from api.db import writing
from api.engine import snapshots_of
from api.problems import ProblemError
from api.tables import UNLABELLED

logger = logging.getLogger("api")

_ANY = select(exists().select_from(UNLABELLED))

# Of those who need the same months at once one makes them, and the others find them made.
_MAKING = {kind: Lock() for kind in months.KINDS}


def settle(engine: Engine) -> None:
    """Write what labels there are to write; where the database does not let it, they wait on."""
    with _if_it_can_be_written("new runs are not found by their labels yet"):
        with engine.connect() as connection:
            if not connection.execute(_ANY).scalar_one():
                return
        while True:
            with writing(engine) as connection:
                if labels.settle(connection) < labels.SETTLED_TOGETHER:
                    return


class Settler:
    """Has labels follow what is written, beside what is written next and at most one step behind.

    In SQLite one writes at a time: there they follow before anything else does.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_beside = engine.dialect.name != "sqlite"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="settling")
        self._last: Future[None] | None = None

    def settle(self) -> None:
        """Begin to write what labels there are to write now, once the last step is done."""
        self.wait()
        if self._is_beside:
            self._last = self._thread.submit(settle, self._engine)
        else:
            settle(self._engine)

    def wait(self) -> None:
        """Wait for what was begun."""
        if self._last is not None:
            self._last.result()


def settle_months(engine: Engine, kind: str) -> int:
    """Make the sums of months of a kind that are not as the runs are; return of how many months.

    See `api.months`. One after the other is added up in a transaction that only reads, and written
    in a short one: no report waits long for it.
    """
    made = 0
    with _if_it_can_be_written("sums of months are not kept yet"):
        with snapshots_of(engine).begin() as connection:
            stale = months.stale(connection, kind)
        if not stale:
            return 0
        with _MAKING[kind]:
            for month in stale:
                with snapshots_of(engine).begin() as connection:
                    found = months.added_up(connection, kind, month)
                if found is not None:
                    with writing(engine) as connection:
                        months.keep(connection, kind, month, *found)
                    made += 1
    return made


@contextmanager
def _if_it_can_be_written(otherwise: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        logger.warning("%s: %s", otherwise, error.orig)
    except ProblemError as error:  # The ledger's file was taken away, and every answer says so.
        logger.debug("%s: %s", otherwise, error)
