"""Work that a server does from time to time beside its requests."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from api.problems import ProblemError

logger = logging.getLogger("api")

_STOP_WAIT_S = 5.0


@contextmanager
def repeating(name: str, every_s: float, work: Callable[[], None]) -> Iterator[None]:
    """Do some work again and again in a thread, until the block ends.

    What fails is tried again the next time. A database that is locked or gone is told of to those
    who ask it for something, so it is hardly worth a line in the log here.
    """
    stopped = threading.Event()

    def repeat() -> None:
        while not stopped.wait(every_s):
            try:
                work()
            except (SQLAlchemyError, ProblemError) as error:
                logger.debug("%s: not done this time: %s", name, error)
            except Exception:
                logger.exception("%s: not done this time", name)

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(_STOP_WAIT_S)
