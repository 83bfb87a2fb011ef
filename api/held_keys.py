"""The ledger's keys as a server holds them: read anew when they are older than a second or two.

To look a key up for every request would cost more than many a request itself: a query in a thread,
where checking one that is held takes microseconds.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from api import keys
from api.db import writing
from api.keys import Key
from api.problems import ProblemError

logger = logging.getLogger("api")

FRESH_S = 2.0
"""For how long a revoked key may still be accepted."""

_USE_NOTED_EVERY_S = 60.0


@dataclass(frozen=True)
class Held:
    """All keys of a ledger as they were read: by their ids, and whether they close its API."""

    by_id: Mapping[str, Key]
    are_asked_for: bool


class HeldKeys:
    """The keys of a ledger, never older than a few seconds."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        """Read them; raises what the database raises."""
        self._engine = engine
        self._clock = clock
        self._reading = asyncio.Lock()
        self._use_noted_s: dict[str, float] = {}
        self._noting: set[asyncio.Future[None]] = set()
        self._held = self._read()
        self._read_s = clock()

    async def current(self) -> Held:
        """Return the keys as they are in the ledger, or were at most `FRESH_S` ago.

        While the database does not answer they stay as they were: nothing can be read or written
        then anyway, and the server's own counts can.
        """
        if self._is_old():
            async with self._reading:
                if self._is_old():
                    try:
                        self._held = await run_in_threadpool(self._read)
                    except (SQLAlchemyError, ProblemError) as error:
                        logger.warning("the API keys were not read again: %s", error)
                    self._read_s = self._clock()
        return self._held

    def used(self, key: Key) -> None:
        """Note that a key was used, from time to time and without making anybody wait."""
        now_s = self._clock()
        noted_s = self._use_noted_s.get(key.id)
        if noted_s is None or now_s - noted_s > _USE_NOTED_EVERY_S:
            self._use_noted_s[key.id] = now_s
            noting = asyncio.get_running_loop().run_in_executor(None, self._note, key.id)
            self._noting.add(noting)
            noting.add_done_callback(self._noting.discard)

    async def close(self) -> None:
        """Wait until what is being noted is, before the database is closed."""
        if self._noting:
            await asyncio.wait(self._noting)

    def _is_old(self) -> bool:
        return self._clock() - self._read_s > FRESH_S

    def _read(self) -> Held:
        with self._engine.begin() as connection:
            found = keys.every(connection)
        return Held({key.id: key for key in found}, keys.ask_for_one(found))

    def _note(self, key_id: str) -> None:
        try:
            with writing(self._engine) as connection:
                keys.note_use(connection, key_id, datetime.now(UTC))
        except (SQLAlchemyError, ProblemError) as error:
            logger.debug("the use of key %s was not noted: %s", key_id, error)
