"""Reports on their way into the ledger: what comes at the same time shares a transaction.

Getting a transaction to the disk takes about as long for a hundred reports as for one. One thread
writes; whoever delivers waits until what it sent is committed. Of several who deliver one report
after the other, the next ones would come in two halves, each while the other half is written: so
as many as were there at once the last time are waited for, if they come one soon after the other.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from api import reports
from api.access import Access
from api.db import writing
from api.problems import ProblemError
from api.reports import Stored
from api.settling import Settler
from carbon.schema import RunReport

logger = logging.getLogger("api")

MOST_TOGETHER = 1000
"""How many reports share a transaction at most, unless more come in one request."""

LINGER_S = 0.004
"""How long the next of them is waited for: a report is parsed in less, on a slow machine too;"""

LONGEST_LINGER_S = 0.05
"""and how long the first one waits at most, however many are still expected."""

SETTLE_AT = 1000
"""After how many reports their runs' labels are written;"""

SETTLE_AFTER_S = 0.2
"""sooner if for so long nothing comes,"""

LATEST_S = 2.0
"""and where reports keep coming, after so long."""

Outcome = Stored | ProblemError


@dataclass(frozen=True)
class _Delivery:
    reports: Sequence[RunReport]
    access: Access
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[list[Outcome]]"


class Ingest:
    """The queue in front of a ledger, and the thread that empties it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: SimpleQueue[_Delivery | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._at_once = 1
        """How many deliveries were written the last time, or came meanwhile."""

    async def store(self, delivered: Sequence[RunReport], access: Access) -> list[Outcome]:
        """Store reports, all in one transaction; return what became of each once it is on disk.

        Each is of a project that the access admits; a run of another one is not overwritten.

        Raises what the database raises; then none of them is stored.
        """
        loop = asyncio.get_running_loop()
        delivery = _Delivery(delivered, access, loop, loop.create_future())
        self._start()
        self._queue.put(delivery)
        return await delivery.future

    def close(self) -> None:
        """Write what is waiting, and end."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def _start(self) -> None:
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        is_last = False
        settler = Settler(self._engine)
        unsettled, settled_s = 1, time.monotonic()  # A server before may have left something.
        while not is_last:
            try:
                first = self._queue.get(timeout=SETTLE_AFTER_S if unsettled else None)
            except Empty:
                first, unsettled = None, SETTLE_AT
            else:
                if first is None:
                    is_last = True
                else:
                    together, is_last = self._waiting(first)
                    self._write(together)
                    unsettled += sum(len(delivery.reports) for delivery in together)
            now_s = time.monotonic()
            if unsettled >= SETTLE_AT or now_s - settled_s >= LATEST_S or is_last:
                settler.settle()
                unsettled, settled_s = 0, now_s
        settler.wait()

    def _waiting(self, first: _Delivery) -> tuple[list[_Delivery], bool]:
        """Take what else is waiting, or comes at once; also return whether that was the end."""
        together, count = [first], len(first.reports)
        give_up_s = time.monotonic() + LONGEST_LINGER_S
        while count < MOST_TOGETHER:
            linger_s = 0.0
            if len(together) < self._at_once:
                linger_s = max(min(LINGER_S, give_up_s - time.monotonic()), 0.0)
            try:
                delivery = self._queue.get(timeout=linger_s)
            except Empty:
                break
            if delivery is None:
                return together, True
            together.append(delivery)
            count += len(delivery.reports)
        return together, False

    def _write(self, together: Sequence[_Delivery]) -> None:
        try:
            outcomes = self._commit(together)
        except Exception as error:  # noqa: BLE001 - handed to those who wait for the answer
            if len(together) > 1:  # One of them may be to blame for all.
                for delivery in together:
                    self._write([delivery])
            else:
                _answer(together[0], error=error)
            return
        self._at_once = len(together) + self._queue.qsize()  # Before they can come again.
        for delivery, outcome in zip(together, outcomes, strict=True):
            _answer(delivery, outcome)

    def _commit(self, together: Sequence[_Delivery]) -> list[list[Outcome]]:
        """Store all in one transaction, each report of a run after those that came before it."""
        outcomes: list[list[Any]] = [[None] * len(delivery.reports) for delivery in together]
        waiting = [
            (report, delivery.access, outcomes[number], place)
            for number, delivery in enumerate(together)
            for place, report in enumerate(delivery.reports)
        ]
        with writing(self._engine) as connection:
            while waiting:
                this_round: dict[UUID, tuple[RunReport, Access, list[Any], int]] = {}
                later = []
                for item in waiting:
                    if item[0].run_id in this_round:
                        later.append(item)
                    else:
                        this_round[item[0].run_id] = item
                items = this_round.values()
                stored = reports.store(
                    connection, [item[0] for item in items], [item[1] for item in items]
                )
                for (_, _, into, place), outcome in zip(items, stored, strict=True):
                    into[place] = outcome
                waiting = later
        return outcomes


def _answer(
    delivery: _Delivery, outcome: list[Outcome] | None = None, error: Exception | None = None
) -> None:
    def tell() -> None:
        if delivery.future.done():  # Whoever asked is gone.
            return
        if error is not None:
            delivery.future.set_exception(error)
        else:
            delivery.future.set_result(outcome or [])

    try:
        delivery.loop.call_soon_threadsafe(tell)
    except RuntimeError:
        logger.debug("nobody waits for the answer any more: the server is closed")
