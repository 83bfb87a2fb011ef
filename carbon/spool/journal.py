"""One process's part in a run: what it has said so far, in memory and in the spool."""

import logging
import threading
from collections.abc import Sequence
from uuid import UUID

from carbon.errors import SpoolError
from carbon.schema import RunReport
from carbon.spool.merge import merge
from carbon.spool.part import Event, Part, Started
from carbon.spool.series import PartSeries
from carbon.spool.spool import HeldFile, Spool, encode

log = logging.getLogger("carbon")

COMPACT_BYTES = 1 << 20
"""A part that has grown by more than this, and to more than twice what it was when it was last
rewritten, is rewritten as what it says: one sample instead of all of them."""


class Journal:
    """The part that `started` opens. Written by one thread; `report` may be asked by any.

    Attributes:
        part: what has been said.
        series: what was recorded over time, once the part has ended.
    """

    def __init__(self, started: Started, spool: Spool) -> None:
        self.part = Part(started)
        self.series: PartSeries | None = None
        self._run_id = UUID(started.run_id)
        self._spool = spool
        self._lock = threading.Lock()  # Guards `part`.
        self._file: HeldFile | None = None
        self._backlog: list[Event] = [started]  # What is not in the spool yet.
        self._has_warned = False
        self._compact_at = COMPACT_BYTES

    @property
    def is_on_disk(self) -> bool:
        """Whether everything said so far is in the spool."""
        return not self._backlog

    def say(self, events: Sequence[Event]) -> None:
        """Add events to the part, and to the spool as soon as that can be written."""
        if not (events or self._backlog):
            return
        with self._lock:
            for event in events:
                self.part.apply(event)
        self._backlog.extend(events)
        try:
            if self._file is None:
                name = self.part.started.part_name
                self._file = self._spool.open_part(self._run_id, name)
            size = self._file.append(encode(self._backlog))
            self._backlog.clear()
            # Not at the very end: leaving the block waits for that to be written.
            if size > self._compact_at and self.part.ended is None:
                self._compact_at = COMPACT_BYTES + 2 * self._file.replace(
                    encode(self.part.events())
                )
        except (SpoolError, OSError) as error:
            if not self._has_warned:
                log.warning("run %s is kept in memory only for now: %s", self._run_id, error)
            self._has_warned = True
            # Everything is said again in a file that can be written, should there be one.
            self.close()
            self._backlog = self.part.events()

    def report(self, seq: int = 0, others: Sequence[Part] = ()) -> RunReport:
        """Return the report of this part as it is in memory, alone or together with `others`."""
        with self._lock:
            return merge([self.part, *others], seq, [self.series] if self.series else [])

    def write_series(self, series: PartSeries) -> None:
        """Put the series beside the part, where that is in the spool.

        Raises:
            SpoolError: it cannot be written.
        """
        if self._file is not None:
            self._spool.write_series(self._file.path, series)

    def close(self) -> None:
        """Let go of the file: the part is then seen to have ended, or to have been cut off."""
        if self._file is not None:
            self._file.close()
            self._file = None
